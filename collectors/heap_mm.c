/* SPDX-License-Identifier: Apache-2.0 */
/* heap_mm.c: the allocator's calls of the kernel: how often, how much, how long. */
#include <string.h>

#include "collectors/bpf.h"
#include "collectors/heap_priv.h"
#include "perftop.skel.h"
#include "probes/contract.h"

/* A call of the kernel that takes longer holds up a request. */
#define PAUSE_NS 100000ull

static const struct snap_latency *find(const struct snapshot *s, const char *name)
{
	for (uint32_t i = 0; i < s->nsyscalls; i++)
		if (!strcmp(s->syscalls[i].name, name))
			return &s->syscalls[i];
	return NULL;
}

static double rate_of(const struct snapshot *s, const char *name)
{
	const struct snap_latency *l = find(s, name);

	return l ? l->rate : 0;
}

/* Counts since the last tick. Only those that were seen: at high rates that is some of them. */
static void read_counts(struct heap_mm *m, struct bpf *b, uint64_t *calls, uint64_t *bytes)
{
	const struct perftop_bpf *skel = bpf_skeleton(b);

	for (uint32_t i = 0; i < CONTRACT_HEAP_CALLS; i++) {
		uint64_t c = __atomic_load_n(&skel->bss->heap_calls[i], __ATOMIC_RELAXED);
		uint64_t n = __atomic_load_n(&skel->bss->heap_bytes[i], __ATOMIC_RELAXED);

		calls[i] = c - m->calls[i];
		bytes[i] = n - m->bytes[i];
		m->calls[i] = c;
		m->bytes[i] = n;
	}
}

static void fill_rates(struct heap_mm *m, struct session *se, struct snapshot *s)
{
	uint64_t calls[CONTRACT_HEAP_CALLS], bytes[CONTRACT_HEAP_CALLS];
	double ns = (double)session_interval_ns(se);
	struct snap_heap *h = &s->heap;

	h->brk_rate = rate_of(s, "brk");
	h->mmap_rate = rate_of(s, "mmap");
	h->munmap_rate = rate_of(s, "munmap");
	h->madvise_rate = rate_of(s, "madvise");
	if (!session_bpf(se) || ns <= 0)
		return;
	read_counts(m, session_bpf(se), calls, bytes);
	h->mapped_rate =
		(double)(bytes[CONTRACT_HEAP_BRK_UP] + bytes[CONTRACT_HEAP_MMAP]) * 1e9 / ns;
	h->unmapped_rate = (double)(bytes[CONTRACT_HEAP_BRK_DOWN] + bytes[CONTRACT_HEAP_MUNMAP] +
				    bytes[CONTRACT_HEAP_MADVISE]) *
			   1e9 / ns;
}

static uint64_t quantile(const struct heap_mm *m, uint64_t total, double q)
{
	uint64_t want = (uint64_t)((double)total * q), seen = 0;

	for (uint32_t i = 0; i < BUCKET_COUNT; i++) {
		seen += m->bins[i];
		if (m->bins[i] && seen > want)
			return bucket_mid(i);
	}
	return 0;
}

static void fill_pauses(struct heap_mm *m, struct snapshot *s)
{
	static const char *const names[] = {"brk", "mmap", "munmap", "madvise"};
	struct snap_pauses *p = &s->heap_pauses;
	uint64_t total = 0;

	memset(m->bins, 0, sizeof(m->bins));
	p->threshold_ns = PAUSE_NS;
	for (uint32_t i = 0; i < 4; i++) {
		const struct snap_latency *l = find(s, names[i]);

		for (uint32_t k = 0; l && k < l->bin_count; k++) {
			const struct snap_bin *b = &s->bins[l->bin_first + k];

			if (b->bucket >= BUCKET_COUNT)
				continue;
			m->bins[b->bucket] += b->count;
			total += b->count;
			if (bucket_low(b->bucket) >= PAUSE_NS)
				p->count += b->count;
		}
		if (l && l->max > p->max)
			p->max = l->max;
	}
	p->p50 = quantile(m, total, 0.5);
	p->p99 = quantile(m, total, 0.99);
}

void heap_mm_tick(struct heap_mm *m, struct session *se, struct snapshot *s)
{
	fill_rates(m, se, s);
	fill_pauses(m, s);
}
