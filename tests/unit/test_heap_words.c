/* SPDX-License-Identifier: Apache-2.0 */
/* test_heap_words.c: the verdict on a heap follows from its figures, and claims no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "collectors/heap_priv.h"
#include "collectors/rules.h"

#define MIB	  (1ull << 20)
#define SECOND_NS 1000000000ull

/* A minute of points, the i-th of them at(i). */
static uint64_t fill(struct heap_trend *t, uint64_t (*at)(uint32_t i))
{
	uint64_t now = 1000 * SECOND_NS;

	memset(t, 0, sizeof(*t));
	for (uint32_t i = 0; i < 60; i++, now += SECOND_NS)
		heap_trend_add(t, now, at(i));
	return now;
}

static uint64_t flat(uint32_t i)
{
	return 100 * MIB;
}

static uint64_t rising(uint32_t i)
{
	return 100 * MIB + i * MIB;
}

/* Fills and is emptied every twenty seconds, as a collector or a cache does. */
static uint64_t sawtooth(uint32_t i)
{
	return 100 * MIB + i % 20 * 4 * MIB;
}

static uint64_t falling(uint32_t i)
{
	return 200 * MIB - i * MIB;
}

/* Rises at first, as a program that starts, and then stays. */
static uint64_t warming(uint32_t i)
{
	return 100 * MIB + (i < 15 ? i : 15) * MIB;
}

static void judge(struct snap_heap *h, struct alloc_stats *st, uint64_t (*at)(uint32_t),
		  struct snap_heap_site *suspect)
{
	struct heap_trend trend;
	uint64_t now = fill(&trend, at);
	struct heap_facts f = {.stats = st,
			       .why = "nobody knows",
			       .trend = &trend,
			       .trend_live = true,
			       .now_ns = now,
			       .suspect = suspect,
			       .suspect_name = "hoard",
			       .sampling = suspect != NULL};

	memset(h, 0, sizeof(*h));
	snprintf(h->allocator, sizeof(h->allocator), "glibc 2.36");
	h->anon_bytes = 130 * MIB;
	if (st) {
		h->obtained_bytes = st->obtained_bytes;
		h->live_bytes = st->live_bytes;
	}
	heap_words(h, &f);
}

static struct alloc_stats figures(uint64_t live, uint64_t free_bytes, uint64_t small, uint64_t trim)
{
	return (struct alloc_stats){.obtained_bytes = live + free_bytes,
				    .live_bytes = live,
				    .retained_bytes = free_bytes,
				    .free_small_bytes = small,
				    .trim_bytes = trim};
}

static void free_memory_in_unknown_pieces_is_not_called_one_of_them(void **state)
{
	struct alloc_stats st = figures(60 * MIB, 60 * MIB, 0, 0);
	struct snap_heap h;

	st.free_unknown = true;
	judge(&h, &st, flat, NULL);
	assert_non_null(strstr(h.words, "fragmentation or cache: "));
	assert_null(strstr(h.words, "pieces below"));
}

static void what_threads_keep_is_a_cache_that_nobody_gives_back(void **state)
{
	struct alloc_stats st = figures(60 * MIB, 60 * MIB, 10 * MIB, 0);
	struct snap_heap h;

	st.thread_bytes = 40 * MIB;
	judge(&h, &st, flat, NULL);
	assert_int_equal(h.verdict, HEAP_CACHED);
	assert_non_null(strstr(h.words, "kept by its threads"));
	assert_non_null(strstr(h.words, "would give back nothing"));
	st.thread_bytes = 20 * MIB;
	judge(&h, &st, flat, NULL);
	assert_int_equal(h.verdict, HEAP_FRAGMENTED);
}

static void a_heap_that_stays_is_steady(void **state)
{
	struct alloc_stats st = figures(100 * MIB, 5 * MIB, 0, 0);
	struct snap_heap h;

	judge(&h, &st, flat, NULL);
	assert_int_equal(h.verdict, HEAP_STEADY);
	judge(&h, &st, sawtooth, NULL);
	assert_int_equal(h.verdict, HEAP_STEADY);
	judge(&h, &st, falling, NULL);
	assert_int_equal(h.verdict, HEAP_STEADY);
	judge(&h, &st, warming, NULL);
	assert_int_equal(h.verdict, HEAP_STEADY);
}

static void growth_is_no_leak_while_nobody_saw_the_call_sites(void **state)
{
	struct alloc_stats st = figures(159 * MIB, 5 * MIB, 0, 0);
	struct snap_heap h;

	judge(&h, &st, rising, NULL);
	assert_int_equal(h.verdict, HEAP_GROWING);
	assert_in_range((uint64_t)h.growth_bytes_s, MIB * 99 / 100, MIB * 101 / 100);
	assert_non_null(strstr(h.words, "1.0 MiB/s for 60 s"));
	assert_non_null(strstr(h.words, "--heap=sample"));
}

static void a_site_that_keeps_all_is_named_as_the_leak(void **state)
{
	struct alloc_stats st = figures(159 * MIB, 5 * MIB, 0, 0);
	struct snap_heap_site site = {.bytes = 50 * MIB,
				      .total_bytes = 50 * MIB,
				      .growth_bytes_s = 1 << 20,
				      .leak_score = 0.9};
	struct snap_heap h;

	judge(&h, &st, rising, &site);
	assert_int_equal(h.verdict, HEAP_LEAKING);
	assert_non_null(strstr(h.words, "hoard"));
	/* What does not grow is none, whatever a site looks like. */
	judge(&h, &st, flat, &site);
	assert_int_equal(h.verdict, HEAP_STEADY);
	site.leak_score = 0.1;
	judge(&h, &st, rising, &site);
	assert_int_equal(h.verdict, HEAP_GROWING);
}

static void free_memory_is_told_by_whether_it_could_be_returned(void **state)
{
	struct alloc_stats st = figures(40 * MIB, 160 * MIB, 150 * MIB, 3 * MIB);
	struct snap_heap h;

	judge(&h, &st, flat, NULL);
	assert_int_equal(h.verdict, HEAP_FRAGMENTED);
	assert_non_null(strstr(h.words, "80 % is free inside glibc 2.36"));
	assert_non_null(strstr(h.words, "at most 3.0 MiB"));
	st = figures(40 * MIB, 160 * MIB, 0, 159 * MIB);
	judge(&h, &st, flat, NULL);
	assert_int_equal(h.verdict, HEAP_CACHED);
	/* A lower bound proves nothing yet. */
	st.partial = true;
	judge(&h, &st, flat, NULL);
	st.looked = 0.25;
	judge(&h, &st, flat, NULL);
	assert_int_equal(h.verdict, HEAP_UNKNOWN);
	assert_non_null(strstr(h.words, "at most 40 MiB live, at least 80 % free"));
	assert_non_null(strstr(h.words, "25 % of it was searched"));
	/* One that stays a bound says why, and keeps nobody waiting. */
	st.partial_why = "its main arena is not one piece";
	judge(&h, &st, flat, NULL);
	assert_int_equal(h.verdict, HEAP_STEADY);
	assert_non_null(strstr(h.words, "at most 40 MiB live"));
	assert_non_null(strstr(h.words, st.partial_why));
}

/* The sampler sees malloc: of a program with little from there it is no way to find a leak. */
static void a_sampler_is_advised_where_it_would_see_the_memory(void **state)
{
	struct alloc_stats st = figures(2 * MIB, 1 * MIB, 0, 0);
	static struct snapshot s = {.nheap = 1, .target.comm = "python3"};
	struct snap_alert a = {0};

	judge(&s.heap, &st, rising, NULL);
	assert_int_equal(s.heap.verdict, HEAP_GROWING);
	assert_non_null(strstr(s.heap.words, "would see malloc alone, 2 % of it"));
	assert_null(strstr(s.heap.words, "needs --heap=sample"));
	assert_true(rule_heap_growth_check(&s, &a));
	assert_non_null(strstr(a.advice, "PYTHONMALLOC=malloc"));
	/* Data and stacks of a small program are no heap of its own. */
	assert_false(snapshot_heap_is_own(
		&(struct snap_heap){.obtained_bytes = MIB / 4, .anon_bytes = MIB}));
	snprintf(s.target.comm, sizeof(s.target.comm), "node");
	assert_true(rule_heap_growth_check(&s, &a));
	assert_null(strstr(a.advice, "--heap=sample"));
}

static void an_unknown_allocator_is_said_to_be_unknown(void **state)
{
	struct snap_heap h;

	judge(&h, NULL, flat, NULL);
	assert_int_equal(h.verdict, HEAP_STEADY);
	assert_non_null(strstr(h.words, "130 MiB of anonymous memory"));
	assert_non_null(strstr(h.words, "nobody knows"));
}

static void a_few_seconds_are_too_early_for_a_verdict(void **state)
{
	struct heap_trend t = {0};
	struct alloc_stats st = figures(100 * MIB, 5 * MIB, 0, 0);
	struct heap_facts f = {.stats = &st, .why = "", .trend = &t, .now_ns = SECOND_NS};
	struct snap_heap h = {.anon_bytes = 100 * MIB};

	for (uint32_t i = 0; i < 4; i++)
		heap_trend_add(&t, (10 + i) * SECOND_NS, 100 * MIB + i * 10 * MIB);
	heap_words(&h, &f);
	assert_int_equal(h.verdict, HEAP_UNKNOWN);
	/* Ticks that come fast do not make a minute. */
	for (uint32_t i = 0; i < 100; i++)
		heap_trend_add(&t, 14 * SECOND_NS + i * 1000000, 200 * MIB);
	assert_int_equal(t.n, 5);
}

static void alerts_are_raised_for_large_growth_and_large_waste_alone(void **state)
{
	static struct snapshot s;
	struct snap_alert a = {0};

	assert_false(rule_heap_growth_check(&s, &a));
	assert_false(rule_heap_free_check(&s, &a));
	s.nheap = 1;
	s.proc.mem_available_bytes = 6000 * MIB;
	s.heap.verdict = HEAP_GROWING;
	s.heap.growth_bytes_s = 1000;
	assert_false(rule_heap_growth_check(&s, &a));
	s.heap.growth_bytes_s = (double)MIB;
	assert_true(rule_heap_growth_check(&s, &a));
	assert_int_equal(a.severity, ALERT_WARNING);
	assert_non_null(strstr(a.evidence, "full in 100 min"));
	s.heap.verdict = HEAP_LEAKING;
	assert_true(rule_heap_growth_check(&s, &a));
	assert_int_equal(a.severity, ALERT_CRITICAL);

	s.heap.verdict = HEAP_FRAGMENTED;
	s.heap.obtained_bytes = 100 * MIB;
	s.heap.retained_bytes = 60 * MIB;
	assert_false(rule_heap_free_check(&s, &a));
	s.heap.obtained_bytes = 200 * MIB;
	s.heap.retained_bytes = 90 * MIB;
	assert_false(rule_heap_free_check(&s, &a));
	s.heap.retained_bytes = 120 * MIB;
	assert_true(rule_heap_free_check(&s, &a));
	assert_int_equal((int)a.value, 60);
}

/* Another allocator's function would change nothing. */
static void the_way_to_give_memory_back_is_the_allocators_own(void **state)
{
	static const char *const ways[][2] = {{"glibc 2.36", "malloc_trim"},
					      {"jemalloc 5.3.0 (static)", "dirty_decay_ms"},
					      {"tcmalloc 2.10 (static)", "ReleaseFreeMemory"},
					      {"mimalloc 2.0.9 (static)", "mi_collect"}};
	static struct snapshot s;
	struct snap_alert a;

	s.nheap = 1;
	s.heap.verdict = HEAP_CACHED;
	s.heap.obtained_bytes = 200 * MIB;
	s.heap.retained_bytes = 120 * MIB;
	for (int i = 0; i < 4; i++) {
		snprintf(s.heap.allocator, sizeof(s.heap.allocator), "%s", ways[i][0]);
		assert_true(rule_heap_free_check(&s, &a));
		assert_non_null(strstr(a.advice, ways[i][1]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(free_memory_in_unknown_pieces_is_not_called_one_of_them),
		cmocka_unit_test(what_threads_keep_is_a_cache_that_nobody_gives_back),
		cmocka_unit_test(a_heap_that_stays_is_steady),
		cmocka_unit_test(growth_is_no_leak_while_nobody_saw_the_call_sites),
		cmocka_unit_test(a_site_that_keeps_all_is_named_as_the_leak),
		cmocka_unit_test(free_memory_is_told_by_whether_it_could_be_returned),
		cmocka_unit_test(a_sampler_is_advised_where_it_would_see_the_memory),
		cmocka_unit_test(an_unknown_allocator_is_said_to_be_unknown),
		cmocka_unit_test(a_few_seconds_are_too_early_for_a_verdict),
		cmocka_unit_test(alerts_are_raised_for_large_growth_and_large_waste_alone),
		cmocka_unit_test(the_way_to_give_memory_back_is_the_allocators_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
