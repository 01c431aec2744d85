/* SPDX-License-Identifier: Apache-2.0 */
/* calls_map.c: the library's start: its segment, and what a call through a stub takes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probes/calls_inner.h"
#include "probes/memfd_segment.h"

enum { CALIBRATE_CALLS = 64, CALIBRATE_ROUNDS = 5 };

CALLS_EXPORT struct calls_port perftop_calls_port = {
	.version = CALLS_VERSION,
	.size = sizeof(struct calls_port),
	.fd = -1,
};

#ifdef __x86_64__

static __attribute__((noinline)) void empty(void)
{
	__asm__ volatile("");
}

static uint64_t ticks_now(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (uint64_t)hi << 32;
}

static uint64_t time_calls(void (*volatile f)(void))
{
	uint64_t best = UINT64_MAX;

	for (int r = 0; r < CALIBRATE_ROUNDS; r++) {
		uint64_t begin = ticks_now(), ticks;

		for (int i = 0; i < CALIBRATE_CALLS; i++)
			f();
		ticks = ticks_now() - begin;
		best = ticks < best ? ticks : best;
	}
	return best / CALIBRATE_CALLS;
}

/* In this process and on this CPU, some 20 us: a program's thread may stand still meanwhile. */
static void calibrate(struct calls_segment *seg)
{
	void (*stub)(void) = (void (*)(void))(uintptr_t)calls_stubs;
	uint64_t bare = time_calls(empty), with;
	struct contract_hist *h;

	calls_originals[0] = (uintptr_t)empty;
	seg->ns_per_tick = 1ull << 32; /* ticks are counted as they are */
	seg->until_ticks = UINT64_MAX;
	calls_own.gates[0] = calls_own.counts = 1;
	with = time_calls(stub);
	calls_own.gates[0] = 0;
	calls_originals[0] = 0;
	seg->call_ticks = with > bare ? with - bare : 0;
	for (uint32_t i = 0; i < CALLS_SHARDS; i++) {
		if (!(seg->used[i][0] & 1))
			continue;
		seg->used[i][0] = 0;
		h = &calls_shard_of(seg, i)->hists[0].h;
		if (h->count)
			seg->floor_ticks = h->sum / h->count;
		memset(h, 0, sizeof(*h));
	}
	seg->until_ticks = 0;
}

static int make_segment(struct calls_port *p)
{
	struct calls_segment *seg;

	/* Where the kernel cannot, a forked child would count into its parent's shards. */
	if (madvise(&calls_own, sizeof(calls_own), MADV_WIPEONFORK))
		return -errno;
	p->fd = memfd_segment_open(CALLS_SEGMENT_NAME, CALLS_SEGMENT_BYTES);
	if (p->fd < 0)
		return -ENOMEM;
	seg = memfd_segment_map(p->fd, CALLS_SEGMENT_BYTES);
	if (!seg) {
		syscall(SYS_close, p->fd);
		p->fd = -1;
		return -ENOMEM;
	}
	calls_segment = seg;
	seg->version = CALLS_VERSION;
	seg->pid = (uint32_t)getpid();
	seg->total_bytes = CALLS_SEGMENT_BYTES;
	calibrate(seg);
	__atomic_store_n(&seg->magic, CALLS_MAGIC, __ATOMIC_RELEASE);
	p->segment = (uintptr_t)seg;
	return 0;
}

/* Preloaded it is in the children of the launched command too, where nobody reads. */
static int is_wanted(void)
{
	const char *launcher = getenv(CALLS_LAUNCHER);

	return !launcher || strtol(launcher, NULL, 10) == getppid();
}

static __attribute__((constructor)) void begin(void)
{
	struct calls_port *p = &perftop_calls_port;

	p->stubs = (uintptr_t)calls_stubs;
	p->originals = (uintptr_t)calls_originals;
	p->gates = (uintptr_t)calls_own.gates;
	p->table = (uintptr_t)calls_table;
	p->return_from = (uintptr_t)calls_return_from;
	p->return_at = (uintptr_t)calls_return_at;
	p->return_to = (uintptr_t)calls_return_to;
	if (is_wanted())
		p->error = make_segment(p);
}

#else

static __attribute__((constructor)) void begin(void)
{
	perftop_calls_port.error = -ENOTSUP;
}

#endif
