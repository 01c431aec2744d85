/* SPDX-License-Identifier: Apache-2.0 */
/* test_alloc_glibc.c: a heap read from outside is the heap that the program itself sees. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "collectors/alloc.h"
#include "collectors/alloc_memory.h"
#include "collectors/clock.h"
#include "collectors/symbols.h"
#include "tests/lib/known_process.h"

struct watched {
	struct known_process process;
	struct symbols *syms;
	struct alloc *alloc;
	struct alloc_stats stats;
};

static void watch(struct watched *w, const char *shape)
{
	assert_int_equal(known_start_program(&w->process, "alloc_shapes"), 0);
	assert_int_equal(known_tell(&w->process, shape), 0);
	w->syms = symbols_new(w->process.pid);
	assert_non_null(w->syms);
	assert_int_equal(symbols_refresh(w->syms), 0);
	w->alloc = alloc_new(w->process.pid, w->syms);
	assert_non_null(w->alloc);
}

static void read_once(struct watched *w)
{
	int err = alloc_read(w->alloc, clock_mono_ns(), 50000000, &w->stats);

	if (err)
		fail_msg("alloc_read: %s: %s", strerror(-err), alloc_why(w->alloc));
}

static void end(struct watched *w)
{
	alloc_free(w->alloc);
	symbols_free(w->syms);
	assert_int_equal(known_end(&w->process), 0);
}

/* Within 1 % of what mallinfo2() told, or a page. */
static void assert_near(const char *what, uint64_t got, double want)
{
	if (fabs((double)got - want) > want / 100 + 4096)
		fail_msg("%s is %llu, mallinfo2 says %.0f", what, (unsigned long long)got, want);
}

static void assert_truth(struct watched *w)
{
	double mmapped = known_told(&w->process, "mmapped");

	assert_near("retained", w->stats.retained_bytes, known_told(&w->process, "free"));
	assert_near("live", w->stats.live_bytes, known_told(&w->process, "live") + mmapped);
	assert_near("obtained", w->stats.obtained_bytes,
		    known_told(&w->process, "arena") + mmapped);
	assert_true(w->stats.mmapped_known);
	assert_near("mmapped", w->stats.mmapped_bytes, mmapped);
}

static void check_shape(const char *shape)
{
	struct watched w = {0};

	watch(&w, shape);
	read_once(&w);
	assert_int_equal(alloc_kind(w.alloc), ALLOC_GLIBC);
	assert_string_equal(alloc_why(w.alloc), "");
	assert_truth(&w);
	end(&w);
}

static void live_memory_of_a_steady_program_is_what_it_holds(void **state)
{
	check_shape("steady 32");
}

static void memory_freed_but_kept_is_called_free(void **state)
{
	struct watched w = {0};

	watch(&w, "freed 32");
	read_once(&w);
	assert_truth(&w);
	assert_true(w.stats.retained_bytes > 24u << 20);
	/* It could be given back. */
	assert_true(w.stats.trim_bytes > w.stats.retained_bytes * 9 / 10);
	end(&w);
}

static void holes_between_blocks_count_as_free_and_as_small(void **state)
{
	struct watched w = {0};

	watch(&w, "fragmented 16");
	read_once(&w);
	assert_truth(&w);
	assert_true(w.stats.free_small_bytes > w.stats.retained_bytes * 9 / 10);
	assert_true(w.stats.trim_bytes < w.stats.retained_bytes / 10);
	end(&w);
}

/* More holes than lists are followed for: all chunks are walked, over several readings. */
static void fifty_thousand_holes_are_all_found(void **state)
{
	struct watched w = {0};
	uint32_t readings = 0;

	watch(&w, "fragmented 128");
	do
		read_once(&w);
	while (w.stats.partial && ++readings < 100);
	assert_false(w.stats.partial);
	assert_truth(&w);
	assert_true(w.stats.free_chunks > 50000);
	assert_true(w.stats.free_small_bytes > w.stats.retained_bytes * 9 / 10);
	end(&w);
}

/* Until they are, what is live is at most what is said, and no reading says more than the last. */
static void a_bound_of_what_is_live_holds_and_only_becomes_tighter(void **state)
{
	struct watched w = {0};
	uint64_t most = UINT64_MAX, live;
	uint32_t bounds = 0;
	double looked = 0;

	watch(&w, "fragmented 128");
	live = (uint64_t)(known_told(&w.process, "live") + known_told(&w.process, "mmapped"));
	for (;; bounds++) {
		if (alloc_read(w.alloc, clock_mono_ns(), 200000, &w.stats))
			fail_msg("alloc_read: %s", alloc_why(w.alloc));
		if (!w.stats.partial)
			break;
		assert_in_range(w.stats.live_bytes, live, most);
		assert_null(w.stats.partial_why);
		assert_true(w.stats.looked >= looked);
		most = w.stats.live_bytes;
		looked = w.stats.looked;
	}
	assert_true(bounds > 2);
	assert_truth(&w);
	end(&w);
}

/* Lists change while they are followed; the chunks' own sizes lead on. */
static void threads_at_full_rate_leave_readings_that_hold(void **state)
{
	struct watched w = {0};
	uint32_t readings = 0;
	double want;

	watch(&w, "churn 64");
	want = known_told(&w.process, "live") + known_told(&w.process, "mmapped");
	while (alloc_read(w.alloc, clock_mono_ns(), 4000000, &w.stats) || w.stats.partial) {
		assert_true(++readings < 100);
		usleep(20000);
	}
	/* It goes on meanwhile: holds within a hundredth, and threads keep some of what they free.
	 */
	if (fabs((double)w.stats.live_bytes - want) > want * 0.05)
		fail_msg("live is %llu, mallinfo2 said %.0f",
			 (unsigned long long)w.stats.live_bytes, want);
	end(&w);
}

static void large_blocks_in_mappings_of_their_own_are_live(void **state)
{
	struct watched w = {0};

	watch(&w, "large 32");
	read_once(&w);
	assert_truth(&w);
	assert_int_equal(w.stats.mmaps, 32 + 1); /* and the array of their addresses */
	end(&w);
}

static void arenas_of_other_threads_are_read_too(void **state)
{
	struct watched w = {0};

	watch(&w, "arenas 16");
	read_once(&w);
	assert_true(w.stats.arenas >= 3);
	assert_truth(&w);
	end(&w);
}

static void arenas_with_many_holes_are_walked_heap_by_heap(void **state)
{
	struct watched w = {0};
	uint32_t readings = 0;

	watch(&w, "arenas 300");
	do
		read_once(&w);
	while (w.stats.partial && ++readings < 100);
	assert_false(w.stats.partial);
	assert_truth(&w);
	end(&w);
}

static void a_process_that_ended_gives_an_error_and_no_figures(void **state)
{
	struct watched w = {0};
	struct alloc_stats stats;

	watch(&w, "steady 1");
	assert_int_equal(known_end(&w.process), 0);
	assert_int_not_equal(alloc_read(w.alloc, clock_mono_ns(), 1000000, &stats), 0);
	assert_int_equal(stats.obtained_bytes, 0);
	assert_string_not_equal(alloc_why(w.alloc), "");
	alloc_free(w.alloc);
	symbols_free(w.syms);
}

static void a_broken_file_has_no_symbols_and_crashes_nothing(void **state)
{
	struct alloc_symbol s[] = {{"main_arena", 0}};
	FILE *f = tmpfile();

	assert_non_null(f);
	fputs("\177ELF\2\1\1 and then nothing of the kind", f);
	fflush(f);
	rewind(f);
	alloc_elf_symbols(fileno(f), s, 1);
	assert_int_equal(s[0].vaddr, 0);
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(live_memory_of_a_steady_program_is_what_it_holds),
		cmocka_unit_test(memory_freed_but_kept_is_called_free),
		cmocka_unit_test(holes_between_blocks_count_as_free_and_as_small),
		cmocka_unit_test(fifty_thousand_holes_are_all_found),
		cmocka_unit_test(a_bound_of_what_is_live_holds_and_only_becomes_tighter),
		cmocka_unit_test(threads_at_full_rate_leave_readings_that_hold),
		cmocka_unit_test(large_blocks_in_mappings_of_their_own_are_live),
		cmocka_unit_test(arenas_of_other_threads_are_read_too),
		cmocka_unit_test(arenas_with_many_holes_are_walked_heap_by_heap),
		cmocka_unit_test(a_process_that_ended_gives_an_error_and_no_figures),
		cmocka_unit_test(a_broken_file_has_no_symbols_and_crashes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
