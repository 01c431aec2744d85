/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perftop.h: counters, gauges, histograms, timed scopes and USDT markers for any C or C++ program.
 * Long because it is the whole interface: one file to copy, with its manual.
 */
#ifndef PERFTOP_H
#define PERFTOP_H

/*
 *	static struct perftop_counter hits;
 *	static struct perftop_hist lookup;
 *
 *	hits = perftop_counter("cache.hits", "", "lookups answered from the cache");
 *	lookup = perftop_hist("cache.lookup", "ns", "time of one lookup");
 *	...
 *	{
 *		PERFTOP_SCOPE(lookup);		times to the end of this block
 *		perftop_inc(hits);
 *	}
 *
 * Link with -lperftop and run; `perftop -p PID` shows the numbers. Nobody has to be watching.
 *
 * Cost: an add is about 1 ns and a record 2 ns, with no lock and no system call: each thread writes
 * a shard of its own with plain stores, and the watcher sums the shards. A scope costs two readings
 * of the clock and a record. For work that is not much longer than that there is
 *
 *	PERFTOP_SCOPE_ONE_IN(61, lookup);	times one call in 61, counts every one
 *
 * at about 3 ns a call: a call that is not timed is counted as the last one that was, by the same
 * thread. The watcher sees how many were timed, and says so. A prime keeps step with no pattern.
 *
 * Where it lives: one sealed memfd a process, made at the first registration. Memory is used as it
 * is touched: 256 MB of address space, about 12 KB a thread and up to 9 KB more for each histogram
 * that the thread records into. If it cannot be made, everything still works and nobody sees it.
 *
 * Threads: every call may be made from any thread at any time. A thread that ends leaves its counts
 * behind. Past 1,024 threads at once, the others share a shard with atomic adds.
 * fork: the child gets a segment of its own, at its first use, with the same metrics from zero.
 * vfork: the child runs in its parent's memory, and counts there.
 * Signal handlers: add, inc, set, record and scopes may be used, also in a handler that interrupts
 * one of them. On x86-64 nothing is lost; elsewhere an update that is interrupted between its load
 * and its store loses the handler's. A maximum that is interrupted may keep the lower of the two.
 * Registration takes a lock and is not for handlers.
 *
 * Names with a meaning: reclaim.pending, reclaim.peak and reclaim.dispatched are what Concurrency
 * Kit's ck_epoch_record_t counts as n_pending, n_peak and n_dispatch; reclaim.stalls and
 * reclaim.stall_ns are waits for readers, as in ck_epoch_barrier(). perftop shows them beside the
 * heap, as memory that waits to be freed.
 *
 * Markers for tracers, PERFTOP_USDT and PERFTOP_SCOPE_USDT, are described below.
 *
 * -DPERFTOP_DISABLED turns every call into nothing; no library is needed then.
 */

#include <stdint.h>
#include <time.h>

#include "probes/bucket.h"

/* Handles are values. A zeroed handle, or one whose registration was refused, counts nowhere. */
struct perftop_counter {
	uint32_t slot;
};
struct perftop_gauge {
	uint32_t slot;
};
struct perftop_hist {
	uint32_t slot;
};

/* A running scope. Times are ticks of the time-stamp counter when mult is set, else ns. */
struct perftop_scope {
	uint64_t start;
	uint64_t mult;
	struct perftop_hist hist;
};

#define PERFTOP_MAX_METRICS 1024
#define PERFTOP_MAX_THREADS 1024
#define PERFTOP_SLOTS	    (PERFTOP_MAX_METRICS + 1) /* slot 0 is the sink */

#define PERFTOP_LIKELY(x)   __builtin_expect(!!(x), 1)
#define PERFTOP_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PERFTOP_CAT2(a, b)  a##b
#define PERFTOP_CAT(a, b)   PERFTOP_CAT2(a, b)

#ifndef CLOCK_MONOTONIC
/* Strict ISO C (-std=c11, -std=c99) hides the clock in <time.h>. */
struct perftop_timespec {
	long tv_sec, tv_nsec;
};
int perftop_clock_gettime(int clock, struct perftop_timespec *ts) __asm__("clock_gettime");
#endif

static inline uint64_t perftop_now_ns(void)
{
#ifdef CLOCK_MONOTONIC
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
#else
	struct perftop_timespec ts;

	perftop_clock_gettime(1, &ts); /* Linux's CLOCK_MONOTONIC */
#endif
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* functions are named as their structures are */
#endif

#ifndef PERFTOP_DISABLED

/* One thread's part of the segment: only its owner writes here. Part of the segment's layout. */
struct perftop_shard {
	uint64_t offset; /* of this shard in the segment */
	uint64_t pad[7];
	uint64_t value[PERFTOP_SLOTS + 7]; /* counters */
	uint32_t hist[PERFTOP_SLOTS + 7];  /* from this shard to its perftop_bins; 0: none yet */
};

/* One thread's part of one histogram. */
struct perftop_bins {
	uint32_t slot;	   /* whose histogram; 0 while the block is being made */
	uint32_t last_bin; /* see below */
	uint64_t count;	   /* written last: a reader that sees it sees what it counts */
	uint64_t sum;	   /* wraps */
	uint64_t max;	   /* exact */
	uint64_t touched;  /* bit i: some bin of the 32 from 32 * i is not 0 */
	/* Of scopes that time one in some, counting the others as the last that was timed: */
	uint64_t timed; /* how many were; 0: no such scopes, all are */
	uint64_t due;	/* count at which one is timed again */
	uint64_t last;	/* value of the last; last_bin is its bin */
	uint64_t bins[BUCKET_COUNT];
};

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Register a metric, or find it again: the same name and kind give the same handle. The first
 * unit and help win. Names up to 95 bytes, units 15, help 135; the rest is cut. Past 1,024 metrics
 * the handle counts nowhere and the refusal is counted for the watcher.
 */
struct perftop_counter perftop_counter(const char *name, const char *unit, const char *help);
struct perftop_gauge perftop_gauge(const char *name, const char *unit, const char *help);
struct perftop_hist perftop_hist(const char *name, const char *unit, const char *help);

/* What the inline functions below rest on; not for callers. */
void perftop_add_slow(uint32_t slot, uint64_t n);
void perftop_gauge_slow(uint32_t slot, int64_t v, int add);
void perftop_record_slow(uint32_t slot, uint64_t v);
struct perftop_scope_one_in;
void perftop_scope_one_in_start(struct perftop_scope_one_in *s);
void perftop_scope_one_in_stop(struct perftop_scope_one_in *s);
/*
 * For who counts calls of a scope that times one in some by himself, and tells them many at once:
 * how many may yet be counted as the last before one is to be timed, and n of them. v is what each
 * took if the library has forgotten, as where a thread ends.
 */
uint32_t perftop_count_left(struct perftop_hist h, uint64_t *v);
void perftop_count_more(struct perftop_hist h, uint64_t n, uint64_t v);
/*
 * Where this thread's shard is noted, in memory that the kernel empties in a forked child. So no
 * child, however it was made, has a way into its parent's counters.
 */
extern __thread struct perftop_shard **perftop_cell __attribute__((tls_model("initial-exec")));
extern uint64_t perftop_tsc_mult; /* ns per tick << 32; 0: scopes use the clock */

#ifdef __cplusplus
}
#endif

static inline struct perftop_shard *perftop_own_shard(void)
{
	return __atomic_load_n(perftop_cell, __ATOMIC_RELAXED);
}

/* Add to a word that only this thread writes. One instruction, so a signal cannot split it. */
static inline void perftop_bump(uint64_t *p, uint64_t n)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	__asm__ __volatile__("addq %1, %0" : "+m"(*p) : "er"(n) : "cc");
#else
	__atomic_store_n(p, __atomic_load_n(p, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
#endif
}

static inline void perftop_add(struct perftop_counter c, uint64_t n)
{
	struct perftop_shard *s = perftop_own_shard();

	if (PERFTOP_LIKELY(s))
		perftop_bump(&s->value[c.slot], n);
	else
		perftop_add_slow(c.slot, n);
}

static inline void perftop_inc(struct perftop_counter c)
{
	perftop_add(c, 1);
}

/* To two counters, for little more than one costs. */
static inline void perftop_add_both(struct perftop_counter a, uint64_t n_a,
				    struct perftop_counter b, uint64_t n_b)
{
	struct perftop_shard *s = perftop_own_shard();

	if (PERFTOP_LIKELY(s)) {
		perftop_bump(&s->value[a.slot], n_a);
		perftop_bump(&s->value[b.slot], n_b);
		return;
	}
	perftop_add_slow(a.slot, n_a);
	perftop_add_slow(b.slot, n_b);
}

#define PERFTOP_GAUGES_OFFSET 4096 /* of the process-wide gauges in the segment */

static inline int64_t *perftop_gauge_word(struct perftop_shard *s, uint32_t slot)
{
	return (int64_t *)((char *)s - s->offset + PERFTOP_GAUGES_OFFSET) + slot;
}

/* Process-wide: the last write of any thread is the value. */
static inline void perftop_set(struct perftop_gauge g, int64_t v)
{
	struct perftop_shard *s = perftop_own_shard();

	if (PERFTOP_LIKELY(s))
		__atomic_store_n(perftop_gauge_word(s, g.slot), v, __ATOMIC_RELAXED);
	else
		perftop_gauge_slow(g.slot, v, 0);
}

/* Atomic, with a locked instruction: about 6 ns when uncontended. */
static inline void perftop_gauge_add(struct perftop_gauge g, int64_t v)
{
	struct perftop_shard *s = perftop_own_shard();

	if (PERFTOP_LIKELY(s))
		__atomic_fetch_add(perftop_gauge_word(s, g.slot), v, __ATOMIC_RELAXED);
	else
		perftop_gauge_slow(g.slot, v, 1);
}

/* n more of a value that bin i has been told of. */
static inline void perftop_bins_count(struct perftop_bins *b, unsigned int i, uint64_t v,
				      uint64_t n)
{
	perftop_bump(&b->bins[i], n);
	perftop_bump(&b->sum, v * n);
	/* The count after all it counts: the reader looks again only where a count has changed. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	__atomic_signal_fence(__ATOMIC_RELEASE); /* x86 keeps stores in order */
	perftop_bump(&b->count, n);
#else
	__atomic_store_n(&b->count, __atomic_load_n(&b->count, __ATOMIC_RELAXED) + n,
			 __ATOMIC_RELEASE);
#endif
}

static inline void perftop_bins_record(struct perftop_bins *b, uint64_t v)
{
	unsigned int i = bucket_index(v);
	uint64_t touched = __atomic_load_n(&b->touched, __ATOMIC_RELAXED);

	if (PERFTOP_UNLIKELY(!(touched >> (i / 32) & 1)))
		__atomic_fetch_or(&b->touched, 1ull << (i / 32), __ATOMIC_RELAXED);
	if (PERFTOP_UNLIKELY(v > __atomic_load_n(&b->max, __ATOMIC_RELAXED)))
		__atomic_store_n(&b->max, v, __ATOMIC_RELAXED);
	perftop_bins_count(b, i, v, 1);
}

/* This thread's part of a histogram; NULL before its first record. */
static inline struct perftop_bins *perftop_own_bins(struct perftop_hist h)
{
	struct perftop_shard *s = perftop_own_shard();
	uint32_t at = PERFTOP_LIKELY(s) ? __atomic_load_n(&s->hist[h.slot], __ATOMIC_RELAXED) : 0;

	return PERFTOP_LIKELY(at) ? (struct perftop_bins *)((char *)s + at)
				  : (struct perftop_bins *)0;
}

static inline void perftop_record(struct perftop_hist h, uint64_t v)
{
	struct perftop_bins *b = perftop_own_bins(h);

	if (PERFTOP_LIKELY(b))
		perftop_bins_record(b, v);
	else
		perftop_record_slow(h.slot, v);
}

/* Ticks of the scope clock: the time-stamp counter where the library found it to be steady. */
static inline uint64_t perftop_scope_clock(uint64_t mult)
{
#ifdef __x86_64__
	if (PERFTOP_LIKELY(mult))
		return __builtin_ia32_rdtsc();
#endif
	(void)mult;
	return perftop_now_ns();
}

static inline struct perftop_scope perftop_scope_begin(struct perftop_hist h)
{
	struct perftop_scope s;

	s.hist = h;
	s.mult = __atomic_load_n(&perftop_tsc_mult, __ATOMIC_RELAXED);
	s.start = perftop_scope_clock(s.mult);
	return s;
}

/* Elapsed ns; 0 if the clock went back, as counters of two sockets may. */
static inline uint64_t perftop_scope_ns(const struct perftop_scope *s)
{
	uint64_t d = perftop_scope_clock(s->mult) - s->start;

	if (PERFTOP_UNLIKELY((int64_t)d < 0))
		return 0;
#ifdef __SIZEOF_INT128__
	if (PERFTOP_LIKELY(s->mult))
		return (uint64_t)((__extension__(unsigned __int128) d * s->mult) >> 32);
#endif
	return d;
}

static inline void perftop_scope_end(struct perftop_scope *s)
{
	perftop_record(s->hist, perftop_scope_ns(s));
}

/*
 * A scope that may not be timed: then it was counted when it began, and every is 0. What times it
 * is out of line, so that it takes no registers from the work.
 */
struct perftop_scope_one_in {
	struct perftop_scope scope;
	uint32_t every;
};

/* Counts one more like the last; 0 when it is time to time one. */
static inline int perftop_count_last(struct perftop_hist h)
{
	struct perftop_bins *b = perftop_own_bins(h);

	if (PERFTOP_UNLIKELY(!b || __atomic_load_n(&b->count, __ATOMIC_RELAXED) >=
					   __atomic_load_n(&b->due, __ATOMIC_RELAXED)))
		return 0;
	perftop_bins_count(b, __atomic_load_n(&b->last_bin, __ATOMIC_RELAXED),
			   __atomic_load_n(&b->last, __ATOMIC_RELAXED), 1);
	return 1;
}

static inline void perftop_scope_one_in_begin(struct perftop_scope_one_in *s, uint32_t every,
					      struct perftop_hist h)
{
	s->every = 0;
	if (every > 1 && PERFTOP_LIKELY(perftop_count_last(h)))
		return;
	s->every = every;
	s->scope.hist = h;
	perftop_scope_one_in_start(s);
}

static inline void perftop_scope_one_in_end(struct perftop_scope_one_in *s)
{
	if (PERFTOP_UNLIKELY(s->every))
		perftop_scope_one_in_stop(s);
}

#else /* PERFTOP_DISABLED */

static inline struct perftop_counter perftop_counter(const char *name, const char *unit,
						     const char *help)
{
	struct perftop_counter c = {0};

	(void)name, (void)unit, (void)help;
	return c;
}

static inline struct perftop_gauge perftop_gauge(const char *name, const char *unit,
						 const char *help)
{
	struct perftop_gauge g = {0};

	(void)name, (void)unit, (void)help;
	return g;
}

static inline struct perftop_hist perftop_hist(const char *name, const char *unit, const char *help)
{
	struct perftop_hist h = {0};

	(void)name, (void)unit, (void)help;
	return h;
}

static inline void perftop_add(struct perftop_counter c, uint64_t n)
{
	(void)c, (void)n;
}

static inline void perftop_inc(struct perftop_counter c)
{
	(void)c;
}

static inline void perftop_add_both(struct perftop_counter a, uint64_t n_a,
				    struct perftop_counter b, uint64_t n_b)
{
	(void)a, (void)n_a, (void)b, (void)n_b;
}

static inline void perftop_set(struct perftop_gauge g, int64_t v)
{
	(void)g, (void)v;
}

static inline void perftop_gauge_add(struct perftop_gauge g, int64_t v)
{
	(void)g, (void)v;
}

static inline void perftop_record(struct perftop_hist h, uint64_t v)
{
	(void)h, (void)v;
}

static inline struct perftop_scope perftop_scope_begin(struct perftop_hist h)
{
	struct perftop_scope s = {0, 0, {0}};

	(void)h;
	return s;
}

static inline void perftop_scope_end(struct perftop_scope *s)
{
	(void)s;
}

struct perftop_scope_one_in {
	struct perftop_scope scope;
};

static inline uint32_t perftop_count_left(struct perftop_hist h, uint64_t *v)
{
	(void)h, (void)v;
	return 0;
}

static inline void perftop_count_more(struct perftop_hist h, uint64_t n, uint64_t v)
{
	(void)h, (void)n, (void)v;
}

static inline void perftop_scope_one_in_begin(struct perftop_scope_one_in *s, uint32_t every,
					      struct perftop_hist h)
{
	(void)s, (void)every, (void)h;
}

static inline void perftop_scope_one_in_end(struct perftop_scope_one_in *s)
{
	(void)s;
}

#endif /* PERFTOP_DISABLED */

#ifdef __cplusplus
#pragma GCC diagnostic pop

struct perftop_scope_guard {
	struct perftop_scope scope;
	explicit perftop_scope_guard(struct perftop_hist h) : scope(perftop_scope_begin(h))
	{
	}
	perftop_scope_guard(const perftop_scope_guard &) = delete;
	perftop_scope_guard &operator=(const perftop_scope_guard &) = delete;
	~perftop_scope_guard()
	{
		perftop_scope_end(&scope);
	}
};
#define PERFTOP_SCOPE(hist) \
	struct perftop_scope_guard PERFTOP_CAT(perftop_scope_, __COUNTER__)(hist)
#else
#define PERFTOP_SCOPE(hist)                                           \
	struct perftop_scope PERFTOP_CAT(perftop_scope_, __COUNTER__) \
		__attribute__((cleanup(perftop_scope_end), unused)) = perftop_scope_begin(hist)
#endif
/* By cleanup in C++ too: it runs as a destructor would, exceptions included. */
#define PERFTOP_SCOPE_ONE_IN(every, hist) \
	PERFTOP_SCOPE_ONE_IN_AS(PERFTOP_CAT(perftop_scope_, __COUNTER__), every, hist)
#define PERFTOP_SCOPE_ONE_IN_AS(name, every, hist)                          \
	struct perftop_scope_one_in name                                    \
		__attribute__((cleanup(perftop_scope_one_in_end), unused)); \
	perftop_scope_one_in_begin(&name, every, hist)

/* ---- USDT ----------------------------------------------------------------------------------- */

/*
 *	PERFTOP_USDT(provider, name, ...)		a marker with 0 to 6 integer arguments
 *	PERFTOP_SCOPE_USDT(provider, name, hist)	a scope with provider:name__begin, and
 *							provider:name__end, whose argument is the ns
 *
 * Read by perftop -e usdt:PROG:PROVIDER:NAME, bpftrace and perf alike. provider and name are bare
 * words. A semaphore guards each: while nobody is attached, a marker is a load and a branch, and
 * its arguments are not evaluated. The marker is a nop of 5 bytes, the cheapest place for a probe.
 */
#if !defined(PERFTOP_DISABLED) && defined(__linux__) && defined(__LP64__)

#ifdef __x86_64__
#define PERFTOP_USDT_NOP  "992: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
#define PERFTOP_USDT_PAD  ".byte 0xf3, 0x0f, 0x1e, 0xfa\n" /* endbr64 */
#define PERFTOP_USDT_ARG0 "8@%%rdi"
#else
#define PERFTOP_USDT_NOP  "992: nop\n"
#define PERFTOP_USDT_PAD  "hint #34\n" /* bti c */
#define PERFTOP_USDT_ARG0 "8@x0"
#endif

#define PERFTOP_USDT_SEMA(p, n) "perftop_sema_" #p "_" #n
#define PERFTOP_USDT_FN(p, n)	"perftop_usdt_" #p "_" #n

/* Defined where a file first uses it; the linker keeps one in a program or library. */
#define PERFTOP_USDT_DEFINE_SEMA(sym)                                                     \
	__asm__ __volatile__(".ifndef " sym "\n"                                          \
			     ".pushsection .probes,\"awG\",@progbits," sym ",comdat\n"    \
			     ".weak " sym "\n.hidden " sym "\n.balign 2\n"                \
			     ".type " sym ",@object\n.size " sym ",2\n" sym ": .zero 2\n" \
			     ".popsection\n.endif\n" ::)

/* The note that tools look for. 992 is the marker; the base lets them notice prelinking. */
#define PERFTOP_USDT_NOTE(section, p, n, args)                                             \
	".pushsection .note.stapsdt," section "\n.balign 4\n"                              \
	".4byte 994f-993f, 996f-995f, 3\n"                                                 \
	"993: .asciz \"stapsdt\"\n994: .balign 4\n"                                        \
	"995: .8byte 992b, _.stapsdt.base, " PERFTOP_USDT_SEMA(                            \
		p, n) "\n"                                                                 \
		      ".asciz \"" #p "\"\n.asciz \"" #n "\"\n.asciz \"" args "\"\n"        \
		      "996: .balign 4\n.popsection\n"                                      \
		      ".ifndef _.stapsdt.base\n"                                           \
		      ".pushsection .stapsdt.base,\"aG\",@progbits,.stapsdt.base,comdat\n" \
		      ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n"                     \
		      "_.stapsdt.base: .space 1\n.size _.stapsdt.base,1\n.popsection\n.endif\n"

/* A marker in the flow of the code. Its note belongs to the group that the code is in ("?"). */
#define PERFTOP_USDT_HERE(p, n, args) PERFTOP_USDT_NOP PERFTOP_USDT_NOTE("\"?\",@note", p, n, args)

/* A marker in a function of its own, for where a scope ends: cleanup code knows no names. */
#define PERFTOP_USDT_DEFINE_FN(fn, p, n)                                                         \
	__asm__ __volatile__(".ifndef " fn "\n"                                                  \
			     ".pushsection .text.perftop_usdt,\"axG\",@progbits," fn ",comdat\n" \
			     ".weak " fn "\n.hidden " fn "\n.type " fn ",@function\n" fn         \
			     ":\n" PERFTOP_USDT_PAD PERFTOP_USDT_NOP "ret\n.size " fn ",.-" fn   \
			     "\n" PERFTOP_USDT_NOTE("\"G\",@note," fn ",comdat", p, n,           \
						    PERFTOP_USDT_ARG0) ".popsection\n.endif\n" ::)

/* The semaphore: how many are attached. The kernel counts it up and down. */
#define PERFTOP_USDT_PTR(p, n)                                                          \
	(__extension__({                                                                \
		extern volatile unsigned short perftop_sema_##p##_##n __asm__(          \
			PERFTOP_USDT_SEMA(p, n)) __attribute__((visibility("hidden"))); \
		PERFTOP_USDT_DEFINE_SEMA(PERFTOP_USDT_SEMA(p, n));                      \
		&perftop_sema_##p##_##n;                                                \
	}))
#define PERFTOP_USDT_ON(p, n, ...) PERFTOP_UNLIKELY(*PERFTOP_USDT_PTR(p, n))

#define PERFTOP_USDT_V(x)	   "nr"((uint64_t)(x))
#define PERFTOP_USDT_0(p, n)	   __asm__ __volatile__(PERFTOP_USDT_HERE(p, n, "")::)
#define PERFTOP_USDT_1(p, n, a) \
	__asm__ __volatile__(PERFTOP_USDT_HERE(p, n, "8@%0") : : PERFTOP_USDT_V(a))
#define PERFTOP_USDT_2(p, n, a, b)                                \
	__asm__ __volatile__(PERFTOP_USDT_HERE(p, n, "8@%0 8@%1") \
			     :                                    \
			     : PERFTOP_USDT_V(a), PERFTOP_USDT_V(b))
#define PERFTOP_USDT_3(p, n, a, b, c)                                  \
	__asm__ __volatile__(PERFTOP_USDT_HERE(p, n, "8@%0 8@%1 8@%2") \
			     :                                         \
			     : PERFTOP_USDT_V(a), PERFTOP_USDT_V(b), PERFTOP_USDT_V(c))
#define PERFTOP_USDT_4(p, n, a, b, c, d)                                                \
	__asm__ __volatile__(PERFTOP_USDT_HERE(p, n, "8@%0 8@%1 8@%2 8@%3")             \
			     :                                                          \
			     : PERFTOP_USDT_V(a), PERFTOP_USDT_V(b), PERFTOP_USDT_V(c), \
			       PERFTOP_USDT_V(d))
#define PERFTOP_USDT_5(p, n, a, b, c, d, e)                                             \
	__asm__ __volatile__(PERFTOP_USDT_HERE(p, n, "8@%0 8@%1 8@%2 8@%3 8@%4")        \
			     :                                                          \
			     : PERFTOP_USDT_V(a), PERFTOP_USDT_V(b), PERFTOP_USDT_V(c), \
			       PERFTOP_USDT_V(d), PERFTOP_USDT_V(e))
#define PERFTOP_USDT_6(p, n, a, b, c, d, e, f)                                          \
	__asm__ __volatile__(PERFTOP_USDT_HERE(p, n, "8@%0 8@%1 8@%2 8@%3 8@%4 8@%5")   \
			     :                                                          \
			     : PERFTOP_USDT_V(a), PERFTOP_USDT_V(b), PERFTOP_USDT_V(c), \
			       PERFTOP_USDT_V(d), PERFTOP_USDT_V(e), PERFTOP_USDT_V(f))
#define PERFTOP_USDT_PICK(p, n, a, b, c, d, e, f, macro, ...) macro

#define PERFTOP_USDT(...)                                                                 \
	do {                                                                              \
		if (PERFTOP_USDT_ON(__VA_ARGS__, 0))                                      \
			PERFTOP_USDT_PICK(__VA_ARGS__, PERFTOP_USDT_6, PERFTOP_USDT_5,    \
					  PERFTOP_USDT_4, PERFTOP_USDT_3, PERFTOP_USDT_2, \
					  PERFTOP_USDT_1, PERFTOP_USDT_0, 0)              \
		(__VA_ARGS__);                                                            \
	} while (0)

struct perftop_scope_usdt {
	struct perftop_scope scope;
	const volatile unsigned short *on;
	void (*fire)(uint64_t ns);
};

static inline struct perftop_scope_usdt perftop_scope_usdt_begin(struct perftop_hist h,
								 const volatile unsigned short *on,
								 void (*fire)(uint64_t ns))
{
	struct perftop_scope_usdt s;

	s.on = on;
	s.fire = fire;
	s.scope = perftop_scope_begin(h);
	return s;
}

static inline void perftop_scope_usdt_end(struct perftop_scope_usdt *s)
{
	uint64_t ns = perftop_scope_ns(&s->scope);

	perftop_record(s->scope.hist, ns);
	if (PERFTOP_UNLIKELY(*s->on))
		s->fire(ns);
}

/* By cleanup in C++ too: it runs as a destructor would, exceptions included. */
#define PERFTOP_SCOPE_USDT(p, n, hist)                                                     \
	struct perftop_scope_usdt PERFTOP_CAT(perftop_scope_, __COUNTER__)                 \
		__attribute__((cleanup(perftop_scope_usdt_end), unused)) = __extension__({ \
			extern void perftop_usdt_##p##_##n##__end(uint64_t) __asm__(       \
				PERFTOP_USDT_FN(p, n##__end))                              \
				__attribute__((visibility("hidden")));                     \
			PERFTOP_USDT(p, n##__begin);                                       \
			PERFTOP_USDT_DEFINE_FN(PERFTOP_USDT_FN(p, n##__end), p, n##__end); \
			perftop_scope_usdt_begin(hist, PERFTOP_USDT_PTR(p, n##__end),      \
						 perftop_usdt_##p##_##n##__end);           \
		})

#else /* PERFTOP_DISABLED, or not an ELF of 64 bits */

#define PERFTOP_USDT(...)	       ((void)0)
#define PERFTOP_SCOPE_USDT(p, n, hist) PERFTOP_SCOPE(hist)

#endif

#endif
