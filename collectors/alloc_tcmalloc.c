/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_tcmalloc.c: what tcmalloc got from the kernel, less what lies free on each of its levels.
 */
#include "collectors/alloc_tcmalloc.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "collectors/alloc.h"
#include "collectors/alloc_memory.h"

enum {
	PAGE = 8192,
	SMALL = 4096, /* a piece below is small */
	TRIES = 5,
	AT_SIZE_OF_1 = 32 + 24, /* list_[1].size_ */
	AT_SIZE_OF_2 = 64 + 24,
	AT_SIZE = 4096,
};

struct reading {
	struct tcmalloc *tc;
	uint64_t central, small, thread;
	uint32_t threads;
};

int tcmalloc_read_cache(const struct tcmalloc *tc, uint64_t addr, struct tcmalloc_cache *out)
{
	size_t n = sizeof(*out) - offsetof(struct tcmalloc_cache, size);
	struct iovec here[] = {{&out->size_of_1, 4}, {&out->size_of_2, 4}, {&out->size, n}};
	struct iovec there[] = {{(void *)(uintptr_t)(addr + AT_SIZE_OF_1), 4},
				{(void *)(uintptr_t)(addr + AT_SIZE_OF_2), 4},
				{(void *)(uintptr_t)(addr + AT_SIZE), n}};
	ssize_t got = process_vm_readv(tc->pid, here, 3, there, 3, 0);

	if (got < 0 && errno != EFAULT)
		return -errno;
	return (size_t)got == n + 8 && out->size_of_1 == tc->bytes[1] &&
			       out->size_of_2 == tc->bytes[2] && out->size >= 0
		       ? 0
		       : -EBADMSG;
}

bool tcmalloc_pages_plausible(const struct tcmalloc_pages *p)
{
	return p->system && !(p->system % PAGE) && p->system < 1ull << 46 &&
	       p->total_reserve == p->system && p->reserves && p->reserves <= p->system / PAGE &&
	       p->unmapped <= p->system && p->committed == p->system - p->unmapped &&
	       p->free <= p->committed && !(p->free % PAGE) && !(p->unmapped % PAGE) &&
	       p->total_commit - p->total_decommit == p->committed;
}

/* Free objects in spans, those on their way between threads, and what no object fits in. */
static int add_central(struct reading *r)
{
	struct tcmalloc *tc = r->tc;
	int err = alloc_memory_read(tc->pid, tc->central, tc->centrals,
				    tc->nclasses * sizeof(*tc->centrals));

	for (uint32_t i = 1; !err && i < tc->nclasses; i++) {
		const struct tcmalloc_central *c = &tc->centrals[i];
		uint64_t bytes = (uint64_t)tc->bytes[i], span = tc->span_pages[i] * PAGE;
		uint64_t rest = c->num_spans * (span % bytes);
		uint64_t in_transit = (uint64_t)c->used_slots * (uint64_t)tc->moved[i];
		uint64_t free_bytes = (c->counter + in_transit) * bytes + rest;

		if (c->size_class != i || c->used_slots < 0 || c->used_slots > 64 ||
		    c->counter > c->num_spans * (span / bytes))
			return -EAGAIN;
		r->central += free_bytes;
		r->small += bytes < SMALL ? free_bytes : 0;
	}
	return err;
}

/* Threads come and go: a list that leads nowhere is read again. */
static int add_caches(struct reading *r)
{
	struct tcmalloc_cache c;
	uint64_t at, before = 0;
	int err = alloc_memory_read(r->tc->pid, r->tc->caches, &at, sizeof(at));

	while (!err && at && r->threads < TCMALLOC_CACHES) {
		err = tcmalloc_read_cache(r->tc, at, &c);
		if (err || c.prev != before)
			return err && err != -EBADMSG ? err : -EAGAIN;
		r->thread += (uint64_t)c.size;
		r->threads++;
		before = at;
		at = c.next;
	}
	return err;
}

static int read_once(struct tcmalloc *tc, struct alloc_stats *out)
{
	struct reading r = {.tc = tc};
	struct tcmalloc_pages p;
	uint64_t kept, used;
	int err = add_central(&r);

	if (!err)
		err = add_caches(&r);
	if (!err)
		err = alloc_memory_read(tc->pid, tc->pages, &p, sizeof(p));
	if (err)
		return err;
	if (!tcmalloc_pages_plausible(&p))
		return -EAGAIN;
	used = p.committed - p.free;
	kept = r.central + r.thread;
	if (kept > used)
		return -EAGAIN;
	*out = (struct alloc_stats){
		.obtained_bytes = p.committed,
		.live_bytes = used - kept,
		.retained_bytes = p.free + kept,
		.mmapped_known = true,
		.free_small_bytes = r.small,
		.trim_bytes = p.free,
		.thread_bytes = r.thread,
	};
	return 0;
}

static int tcmalloc_read(void *state, uint64_t now_ns, uint64_t budget_ns, struct alloc_stats *out)
{
	int err = -EAGAIN;

	for (int i = 0; err == -EAGAIN && i < TRIES; i++)
		err = read_once(state, out);
	return err;
}

const struct alloc_reader alloc_tcmalloc = {
	.find = tcmalloc_find,
	.read = tcmalloc_read,
	.free = free,
};
