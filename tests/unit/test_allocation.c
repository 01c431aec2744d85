/* SPDX-License-Identifier: Apache-2.0 */
/* test_allocation.c: each allocation of the engine fails once, and nothing crashes or leaks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/benchmark/benchmark_report.h"
#include "kernels/engine_state.h"
#include "kernels/patterns/hnsw.h"

/* The linker gives these in place of libc's (--wrap, in the Makefile). */
static long left = -1; /* allocations that still succeed; -1: all do */
static long live;      /* blocks allocated and not freed */

static bool fails(void)
{
	errno = ENOMEM;
	return left == 0 || (left > 0 && left-- == 0);
}

static void *counted(void *p)
{
	live += p != NULL;
	return p;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_aligned_alloc(size_t align, size_t n);
void *__real_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t n);
void __real_free(void *p);
char *__real_strdup(const char *text);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
char *__wrap_strdup(const char *text);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t n);
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t n);
void __wrap_free(void *p);

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : counted(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
	return fails() ? NULL : counted(__real_aligned_alloc(align, n));
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : counted(__real_strdup(text));
}

void *__wrap_realloc(void *p, size_t n)
{
	void *to = fails() ? NULL : __real_realloc(p, n);

	live += !p && to;
	return to;
}

void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	void *p = fails() ? MAP_FAILED : __real_mmap(at, n, protection, flags, fd, offset);

	live += p != MAP_FAILED;
	return p;
}

int __wrap_munmap(void *at, size_t n)
{
	live--;
	return __real_munmap(at, n);
}

void __wrap_free(void *p)
{
	live -= p != NULL;
	__real_free(p);
}

enum { DIM = 16, POINTS = 40 };

static void point(float *x, uint32_t i)
{
	for (uint32_t d = 0; d < DIM; d++)
		x[d] = (float)((i * 7 + d * 13) % 29) - 14;
}

static const char *path_of(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "/tmp/perftop-allocation.%d.%s", (int)getpid(), name);
	return path;
}

/* What each of these does in full; 0 or what failed. */
static int index_from_new_to_file_and_back(void)
{
	struct hnsw_options o = {.dim = DIM, .capacity = POINTS, .storage = HNSW_I8};
	struct hnsw_searcher *s = NULL;
	struct neighbour found[4];
	float x[DIM];
	uint32_t id;
	int err = 0;
	struct hnsw *h = hnsw_new(&o, &err);

	for (uint32_t i = 0; i < POINTS && !err; i++) {
		point(x, i);
		err = hnsw_insert(h, x, &id);
	}
	if (!err)
		err = hnsw_save(h, path_of("index"));
	hnsw_free(h);
	if (err)
		return err;
	h = hnsw_load(path_of("index"), &o, &err);
	if (err)
		return err;
	s = hnsw_searcher_new(h, 20);
	err = s ? hnsw_search(h, s, x, 4, 20, found) - 4 : -ENOMEM;
	hnsw_searcher_free(s);
	hnsw_free(h);
	return err;
}

static int store_from_new_to_file_and_back(void)
{
	struct pattern_store_options o = {DIM, POINTS, 2, isa_best()};
	int err = 0;
	struct pattern_store *s = pattern_store_new(&o, &err);
	float x[DIM];

	for (uint32_t i = 0; i < POINTS && !err; i++) {
		point(x, i);
		err = pattern_store_add(s, x, 0.5f, 1, 0, i, NULL);
	}
	if (!err)
		err = pattern_store_prune(s, POINTS / 2, 0, 0, 1) == POINTS / 2 ? 0 : -ENOMEM;
	if (!err)
		err = pattern_store_save(s, path_of("store"));
	pattern_store_free(s);
	if (err)
		return err;
	s = pattern_store_load(path_of("store"), &o, &err);
	pattern_store_free(s);
	return err;
}

/* -ENOMEM for what it says by its exit status. */
static int engine_up_and_down(void)
{
	char *argv[] = {(char *)"engine", (char *)"--seq",   (char *)"20",   (char *)"--dim",
			(char *)"10",	  (char *)"--heads", (char *)"2",    (char *)"--kv-heads",
			(char *)"1",	  (char *)"--load",  (char *)"100",  (char *)"--buffer",
			(char *)"16",	  (char *)"--state", (char *)"/tmp", NULL};
	struct engine *e = calloc(1, sizeof(*e));
	char folder[64];
	int err;

	if (!e)
		return -ENOMEM;
	snprintf(folder, sizeof(folder), "%s", path_of("state"));
	argv[14] = folder;
	err = engine_options_parse(&e->options, 15, argv);
	err = err ? -EINVAL : engine_init(e) ? -ENOMEM : 0;
	engine_fini(e);
	free(e);
	return err;
}

/* A suite says what it could not have, and the report keeps that. */
static const char *suite;
static int suite_from_start_to_report(void)
{
	struct benchmark_options o = {.isa = isa_best(), .quick = true, .contest_s = 1e-4};
	struct benchmark_report r;
	int err = -EINVAL;

	benchmark_report_init(&r);
	for (uint32_t i = 0; i < benchmark_suites_count; i++)
		if (!strcmp(benchmark_suites[i].name, suite))
			err = benchmark_run_suite(&benchmark_suites[i], &o, &r);
	if (err && !r.nfailures && !r.out_of_memory)
		fail_msg("%s failed with %d and does not say so", suite, err);
	benchmark_report_fini(&r);
	return err ? -ENOMEM : 0;
}

/* The first n allocations succeed and all others fail, for each n until there are enough. */
static void try_all(int (*run)(void))
{
	long before, n = 0;
	int err = run();

	assert_int_equal(err, 0);
	before = live; /* what a library keeps, as the counters', is there by now */
	do {
		left = n++;
		err = run();
		left = -1;
		if (live != before)
			fail_msg("%ld blocks leak when allocation %ld fails", live - before, n);
		if (err && err != -ENOMEM)
			fail_msg("%d when allocation %ld fails", err, n);
	} while (err && n < 5000);
	assert_true(n > 3 && n < 5000);
}

static void an_index_crashes_or_leaks(void **state)
{
	try_all(index_from_new_to_file_and_back);
	unlink(path_of("index"));
}

static void a_store_crashes_or_leaks(void **state)
{
	try_all(store_from_new_to_file_and_back);
	unlink(path_of("store"));
}

static void an_engine_crashes_or_leaks(void **state)
{
	char lock[96];

	try_all(engine_up_and_down);
	snprintf(lock, sizeof(lock), "%s/lock", path_of("state"));
	unlink(lock);
	rmdir(path_of("state"));
}

static void a_benchmark_crashes_or_leaks(void **state)
{
	static const char *const names[] = {"simd",	"ewc",	"dream",      "quant",
					    "patterns", "hnsw", "multi-head", "lora"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		suite = names[i];
		try_all(suite_from_start_to_report);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_index_crashes_or_leaks),
		cmocka_unit_test(a_store_crashes_or_leaks),
		cmocka_unit_test(an_engine_crashes_or_leaks),
		cmocka_unit_test(a_benchmark_crashes_or_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
