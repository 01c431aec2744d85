/* SPDX-License-Identifier: Apache-2.0 */
/* test_alloc_foreign.c: allocators other than libc's, read from outside, are what they hold. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "collectors/alloc.h"
#include "collectors/alloc_place.h"
#include "collectors/clock.h"
#include "collectors/symbols.h"
#include "tests/lib/known_process.h"

#define LIBRARIES "/usr/lib/x86_64-linux-gnu/"

struct watched {
	struct known_process process;
	struct symbols *syms;
	struct alloc *alloc;
	struct alloc_stats stats;
};

/* Is it the version whose layout is known? */
static bool has_text(const char *path, const char *text)
{
	static char bytes[4 << 20];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(bytes, 1, sizeof(bytes), f) : 0;

	if (f)
		fclose(f);
	return n && memmem(bytes, n, text, strlen(text));
}

/* A shape of alloc_shapes.c, made by another allocator. */
static void watch(struct watched *w, const char *library, const char *text, const char *shape)
{
	char path[128];

	memset(w, 0, sizeof(*w));
	snprintf(path, sizeof(path), LIBRARIES "%s", library);
	if (!has_text(path, text)) {
		print_message("no %s with %s\n", path, text);
		skip();
	}
	setenv("LD_PRELOAD", path, 1);
	assert_int_equal(known_start_program(&w->process, "alloc_shapes"), 0);
	unsetenv("LD_PRELOAD");
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

static void assert_near(const char *what, uint64_t got, double want, double part)
{
	if (fabs((double)got - want) > want * part + (256 << 10))
		fail_msg("%s is %llu, not %.0f", what, (unsigned long long)got, want);
}

/* The program's own count of what it holds; the libraries' own blocks come to 100 KB or so. */
static void assert_held(struct watched *w)
{
	assert_near("live", w->stats.live_bytes, known_told(&w->process, "held"), 0.01);
	assert_near("the sum",
		    w->stats.live_bytes + w->stats.retained_bytes + w->stats.metadata_bytes,
		    (double)w->stats.obtained_bytes, 0);
}

/* ---- jemalloc -------------------------------------------------------------------------------- */

#define JEMALLOC "libjemalloc.so.2", "5.3.0-"

/* What mallctl says of the same moment. */
static void assert_jemalloc(struct watched *w)
{
	const struct alloc_stats *st = &w->stats;
	double resident = known_told(&w->process, "resident");
	double allocated = known_told(&w->process, "allocated");

	assert_int_equal(alloc_kind(w->alloc), ALLOC_JEMALLOC);
	assert_held(w);
	assert_near("allocated", st->live_bytes + st->thread_bytes, allocated, 0.001);
	assert_near("resident", st->obtained_bytes, resident, 0.001);
	assert_near("active", st->obtained_bytes - st->metadata_bytes - st->trim_bytes,
		    known_told(&w->process, "active"), 0.001);
}

static void check_jemalloc(struct watched *w, const char *shape)
{
	watch(w, JEMALLOC, shape);
	read_once(w);
	assert_jemalloc(w);
	end(w);
}

static void jemallocs_small_and_large_blocks_are_what_mallctl_says(void **state)
{
	struct watched w;

	check_jemalloc(&w, "steady 32");
	check_jemalloc(&w, "large 32");
}

static void jemallocs_dirty_pages_are_a_cache(void **state)
{
	struct watched w;

	check_jemalloc(&w, "freed 64");
	assert_true(w.stats.retained_bytes > 50u << 20);
	assert_true(w.stats.trim_bytes > w.stats.retained_bytes * 8 / 10);
}

static void holes_in_jemallocs_slabs_are_small_free_pieces(void **state)
{
	struct watched w;

	check_jemalloc(&w, "fragmented 64");
	assert_near("free", w.stats.free_small_bytes, 32 << 20, 0.1);
	assert_true(w.stats.free_small_bytes > w.stats.retained_bytes * 9 / 10);
}

static void jemallocs_arenas_are_added_up(void **state)
{
	struct watched w;

	check_jemalloc(&w, "arenas 64");
	assert_true(w.stats.arenas >= 3);
	check_jemalloc(&w, "ended 64");
	check_jemalloc(&w, "passed 64");
}

/* ---- mimalloc -------------------------------------------------------------------------------- */

#define MIMALLOC "libmimalloc.so.2.0", "mimalloc"

static void check_mimalloc(struct watched *w, const char *shape)
{
	watch(w, MIMALLOC, shape);
	read_once(w);
	assert_int_equal(alloc_kind(w->alloc), ALLOC_MIMALLOC);
	assert_held(w);
	end(w);
}

static void mimallocs_blocks_of_any_size_are_what_the_program_holds(void **state)
{
	struct watched w;

	check_mimalloc(&w, "steady 32");
	check_mimalloc(&w, "large 64");
}

static void mimallocs_free_pages_are_a_cache(void **state)
{
	struct watched w;

	check_mimalloc(&w, "freed 64");
	assert_near("retained", w.stats.retained_bytes, 64 << 20, 0.1);
	assert_true(w.stats.trim_bytes > w.stats.retained_bytes * 8 / 10);
}

static void holes_in_mimallocs_pages_are_small_free_pieces(void **state)
{
	struct watched w;

	check_mimalloc(&w, "fragmented 64");
	assert_near("free", w.stats.free_small_bytes, 32 << 20, 0.1);
	assert_true(w.stats.free_small_bytes > w.stats.retained_bytes * 9 / 10);
}

/* Segments of other threads, of threads that ended, and blocks that others freed. */
static void mimallocs_threads_are_added_up(void **state)
{
	struct watched w;

	check_mimalloc(&w, "arenas 64");
	assert_true(w.stats.arenas >= 4);
	check_mimalloc(&w, "ended 64");
	check_mimalloc(&w, "passed 64");
}

/* ---- tcmalloc -------------------------------------------------------------------------------- */

#define TCMALLOC "libtcmalloc_minimal.so.4", "gperftools 2.10"

/* What MallocExtension says of the same moment. */
static void check_tcmalloc(struct watched *w, const char *shape)
{
	watch(w, TCMALLOC, shape);
	read_once(w);
	assert_int_equal(alloc_kind(w->alloc), ALLOC_TCMALLOC);
	assert_held(w);
	assert_near("allocated", w->stats.live_bytes, known_told(&w->process, "allocated"), 0);
	assert_near("obtained", w->stats.obtained_bytes,
		    known_told(&w->process, "heap") - known_told(&w->process, "unmapped"), 0);
	assert_near("free pages", w->stats.trim_bytes, known_told(&w->process, "page_free"), 0);
	assert_near("caches", w->stats.thread_bytes, known_told(&w->process, "thread"), 0);
	end(w);
}

static void tcmallocs_blocks_of_any_size_are_what_it_says_itself(void **state)
{
	struct watched w;

	check_tcmalloc(&w, "steady 32");
	check_tcmalloc(&w, "large 64");
}

static void tcmallocs_free_pages_are_a_cache(void **state)
{
	struct watched w;

	check_tcmalloc(&w, "freed 64");
	assert_true(w.stats.retained_bytes > 60u << 20);
	assert_true(w.stats.trim_bytes > w.stats.retained_bytes * 7 / 10);
}

static void holes_in_tcmallocs_spans_are_small_free_pieces(void **state)
{
	struct watched w;

	check_tcmalloc(&w, "fragmented 64");
	assert_true(w.stats.free_small_bytes > w.stats.retained_bytes * 8 / 10);
}

static void what_tcmallocs_threads_cache_is_free(void **state)
{
	struct watched w;

	check_tcmalloc(&w, "arenas 64");
	assert_true(w.stats.thread_bytes > 0);
	check_tcmalloc(&w, "ended 64");
	check_tcmalloc(&w, "passed 64");
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* Read while it changes, a figure is right or not given. */
static void check_churn(const char *library, const char *text)
{
	struct watched w;
	double held;
	int right = 0;

	watch(&w, library, text, "churn 64");
	held = known_told(&w.process, "held");
	read_once(&w);
	for (int i = 0; i < 400; i++) {
		if (alloc_read(w.alloc, clock_mono_ns(), 4000000, &w.stats))
			continue;
		right++;
		assert_near("live", w.stats.live_bytes, held, 0.05);
	}
	if (right < 200)
		fail_msg("%d of 400 readings held together", right);
	end(&w);
}

static bool count_string(void *ctx, const char *text)
{
	*(int *)ctx += !strcmp(text, "a string that this program alone has");
	return false;
}

static void a_string_of_a_file_is_found_and_a_broken_file_has_none(void **state)
{
	struct alloc_data data[ALLOC_DATA_MAX];
	struct alloc_place place = {.pid = getpid()};
	int found = 0, fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	FILE *f = tmpfile();

	assert_true(fd >= 0 && f);
	alloc_file_strings(fd, "this program alone", count_string, &found);
	assert_true(found >= 1);
	assert_false(alloc_file_stripped(fd));
	close(fd);
	fputs("\177ELF\2\1\1 and then nothing of the kind: this program alone", f);
	fflush(f);
	rewind(f);
	place.fd = fileno(f);
	found = 0;
	alloc_file_strings(place.fd, "this program alone", count_string, &found);
	assert_int_equal(found, 0);
	assert_true(alloc_place_data(&place, data) <= 0);
	fclose(f);
}

static void jemalloc_is_read_while_four_threads_allocate(void **state)
{
	check_churn(JEMALLOC);
}

static void mimalloc_is_read_while_four_threads_allocate(void **state)
{
	check_churn(MIMALLOC);
}

static void tcmalloc_is_read_while_four_threads_allocate(void **state)
{
	check_churn(TCMALLOC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jemallocs_small_and_large_blocks_are_what_mallctl_says),
		cmocka_unit_test(jemallocs_dirty_pages_are_a_cache),
		cmocka_unit_test(holes_in_jemallocs_slabs_are_small_free_pieces),
		cmocka_unit_test(jemallocs_arenas_are_added_up),
		cmocka_unit_test(mimallocs_blocks_of_any_size_are_what_the_program_holds),
		cmocka_unit_test(mimallocs_free_pages_are_a_cache),
		cmocka_unit_test(holes_in_mimallocs_pages_are_small_free_pieces),
		cmocka_unit_test(mimallocs_threads_are_added_up),
		cmocka_unit_test(mimalloc_is_read_while_four_threads_allocate),
		cmocka_unit_test(tcmallocs_blocks_of_any_size_are_what_it_says_itself),
		cmocka_unit_test(tcmallocs_free_pages_are_a_cache),
		cmocka_unit_test(holes_in_tcmallocs_spans_are_small_free_pieces),
		cmocka_unit_test(what_tcmallocs_threads_cache_is_free),
		cmocka_unit_test(tcmalloc_is_read_while_four_threads_allocate),
		cmocka_unit_test(a_string_of_a_file_is_found_and_a_broken_file_has_none),
		cmocka_unit_test(jemalloc_is_read_while_four_threads_allocate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
