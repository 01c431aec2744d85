/* SPDX-License-Identifier: Apache-2.0 */
/* test_learned.c: what was learned comes back from disk, or is refused; never half, never lost. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/durable.h"
#include "kernels/loops/learned.h"

enum { DIM = 24, RANK = 4 };

static uint32_t random_state = 9;

static float random_float(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}

#define FOLDER "/tmp/test_learned.XXXXXX"

struct folder {
	char path[sizeof(FOLDER)];
};

static void folder_new(struct folder *f)
{
	assert_non_null(mkdtemp(f->path));
}

static void folder_file(const struct folder *f, const char *name, char *path)
{
	snprintf(path, PATH_MAX, "%s/%s", f->path, name);
}

static void folder_free(const struct folder *f)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
	assert_int_equal(system(command), 0);
}

struct known {
	struct learned l;
	struct lora micro;
	float a[DIM], b[DIM];
};

static void known_new(struct known *k, uint32_t rank)
{
	const struct learned_options o = {DIM, rank, 2, 1, 64, 64, 7, isa_best()};

	memset(k, 0, sizeof(*k));
	assert_int_equal(learned_init(&k->l, &o), 0);
	k->micro = (struct lora){DIM, DIM, 1, 1, k->a, k->b};
}

/* Something of everything. */
static void learn_something(struct known *k)
{
	const size_t n = k->l.ewc.config.n;
	float *g = malloc(n * sizeof(*g)), x[DIM];
	struct lora_base *next;

	assert_non_null(g);
	for (int d = 0; d < DIM; d++) {
		k->a[d] = random_float();
		k->b[d] = random_float();
	}
	for (int task = 0; task < 3; task++) {
		for (int i = 0; i < 5; i++) {
			for (size_t w = 0; w < n; w++)
				g[w] = random_float();
			assert_int_equal(ewc_observe(&k->l.ewc, g), 0);
		}
		next = learned_begin(&k->l);
		for (size_t w = 0; w < n; w++)
			next->weights[w] += g[w];
		learned_publish(&k->l);
		if (task < 2)
			assert_int_equal(ewc_finish_task(&k->l.ewc, next->weights), 0);
	}
	for (int i = 0; i < 20; i++) {
		for (int d = 0; d < DIM; d++)
			x[d] = random_float();
		assert_int_equal(dream_graph_add(&k->l.graph, x, 0.5f, NULL), 0);
		assert_true(pattern_store_add(k->l.patterns, x, 0.5f, 3, 0, 7, NULL) >= 0);
	}
	k->l.cycles_b = 11;
	k->l.cycles_c = 4;
	k->l.dreams = 200;
	k->l.dreams_kept = 17;
	free(g);
}

static void same_floats(const float *x, const float *y, size_t n)
{
	assert_memory_equal(x, y, n * sizeof(*x));
}

static void same_knowledge(const struct known *x, const struct known *y)
{
	const struct ewc *a = &x->l.ewc, *b = &y->l.ewc;
	const size_t n = a->config.n;

	same_floats(learned_current(&x->l)->weights, learned_current(&y->l)->weights, n);
	same_floats(a->square, b->square, n);
	same_floats(a->mean, b->mean, n);
	same_floats(a->stiffness, b->stiffness, n);
	same_floats(a->anchor, b->anchor, n);
	assert_int_equal(a->ntasks, b->ntasks);
	assert_int_equal(a->observed, b->observed);
	assert_int_equal(a->finished, b->finished);
	for (uint32_t t = 0; t < a->ntasks; t++) {
		assert_true(a->task[t].weight == b->task[t].weight);
		same_floats(a->task[t].stiffness, b->task[t].stiffness, n);
		same_floats(a->task[t].anchor, b->task[t].anchor, n);
	}
	same_floats(x->a, y->a, DIM);
	same_floats(x->b, y->b, DIM);
	assert_int_equal(x->l.graph.count, y->l.graph.count);
	assert_memory_equal(x->l.graph.node, y->l.graph.node,
			    x->l.graph.count * sizeof(struct dream_node));
	assert_memory_equal(x->l.graph.codes, y->l.graph.codes,
			    x->l.graph.count * x->l.graph.code_bytes);
	assert_int_equal(pattern_store_count(x->l.patterns), pattern_store_count(y->l.patterns));
	assert_int_equal(x->l.cycles_b, y->l.cycles_b);
	assert_int_equal(x->l.cycles_c, y->l.cycles_c);
	assert_int_equal(x->l.dreams, y->l.dreams);
	assert_int_equal(x->l.dreams_kept, y->l.dreams_kept);
}

static void what_was_learned_comes_back_changed(void **state)
{
	struct known was, is;
	const char *file;
	struct folder f = {FOLDER};
	float g[512];

	folder_new(&f);
	known_new(&was, RANK);
	known_new(&is, RANK);
	assert_int_equal(learned_load(&is.l, &is.micro, f.path, &file), 0); /* an empty folder */
	learn_something(&was);
	assert_int_equal(learned_save(&was.l, &was.micro, f.path), 0);
	assert_int_equal(learned_load(&is.l, &is.micro, f.path, &file), 0);
	same_knowledge(&was, &is);
	/* And it can go on from there: another task, saved over the first. */
	memset(g, 0, sizeof(g));
	assert_true(is.l.ewc.config.n <= 512);
	assert_int_equal(ewc_observe(&is.l.ewc, g), 0);
	assert_int_equal(ewc_finish_task(&is.l.ewc, learned_current(&is.l)->weights), 0);
	assert_int_equal(learned_save(&is.l, &is.micro, f.path), 0);
	learned_fini(&was.l);
	known_new(&was, RANK);
	assert_int_equal(learned_load(&was.l, &was.micro, f.path, &file), 0);
	same_knowledge(&is, &was);
	learned_fini(&was.l);
	learned_fini(&is.l);
	folder_free(&f);
}

static void another_shape_is_taken(void **state)
{
	struct known was, is;
	const char *file;
	struct folder f = {FOLDER};

	folder_new(&f);
	known_new(&was, RANK);
	learn_something(&was);
	assert_int_equal(learned_save(&was.l, &was.micro, f.path), 0);
	known_new(&is, RANK + 1);
	assert_int_equal(learned_load(&is.l, &is.micro, f.path, &file), -EPROTO);
	assert_string_equal(file, LEARNED_FILE);
	assert_int_equal(is.l.graph.count, 0);
	assert_int_equal(is.l.cycles_b, 0);
	learned_fini(&was.l);
	learned_fini(&is.l);
	folder_free(&f);
}

static size_t read_file(const char *path, char **data)
{
	int fd = open(path, O_RDONLY);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*data = malloc((size_t)st.st_size + 1);
	assert_non_null(*data);
	assert_int_equal(read(fd, *data, (size_t)st.st_size), st.st_size);
	close(fd);
	return (size_t)st.st_size;
}

static void write_file(const char *path, const char *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

/* Loads into a learner that knows nothing; it still knows nothing after a refusal. */
static void is_refused(const struct folder *f, const char *what, size_t at)
{
	const char *file;
	struct known is;
	int err;

	known_new(&is, RANK);
	err = learned_load(&is.l, &is.micro, f->path, &file);
	if (err != -EBADMSG && err != -EPROTO)
		fail_msg("%s at %zu: %d", what, at, err);
	assert_int_equal(is.l.graph.count, 0);
	assert_int_equal(is.l.ewc.ntasks, 0);
	assert_int_equal(is.l.cycles_b, 0);
	assert_true(is.a[0] == 0 && is.b[DIM - 1] == 0);
	learned_fini(&is.l);
}

static void a_damaged_file_is_taken(void **state)
{
	static const char *const files[] = {LEARNED_FILE, LEARNED_PATTERNS};
	struct known was;
	struct folder f = {FOLDER};

	folder_new(&f);
	known_new(&was, RANK);
	learn_something(&was);
	assert_int_equal(learned_save(&was.l, &was.micro, f.path), 0);
	for (int i = 0; i < 2; i++) {
		char path[PATH_MAX], *data;
		size_t size;

		folder_file(&f, files[i], path);
		size = read_file(path, &data);
		for (size_t at = 0; at < size; at += at < 400 ? 1 : 997) {
			data[at] ^= 0x10;
			write_file(path, data, size);
			is_refused(&f, "a flipped bit", at);
			data[at] ^= 0x10;
			write_file(path, data, at);
			is_refused(&f, "an end", at);
		}
		data[size] = 0;
		write_file(path, data, size + 1);
		is_refused(&f, "a byte too many", size);
		write_file(path, data, size);
		free(data);
	}
	learned_fini(&was.l);
	folder_free(&f);
}

/* A right checksum proves nothing about what is under it: a file can be made by anyone. */
static void a_forged_file_is_believed(void **state)
{
	char path[PATH_MAX];
	struct known was;
	struct folder f = {FOLDER};
	void *data;
	size_t size;
	const uint32_t nan = 0x7fc00000, huge = 0xffffffff;
	struct iovec io;

	folder_new(&f);
	known_new(&was, RANK);
	learn_something(&was);
	assert_int_equal(learned_save(&was.l, &was.micro, f.path), 0);
	folder_file(&f, LEARNED_FILE, path);
	assert_int_equal(durable_load(path, "learned", 1, 1 << 24, &data, &size), 0);
	io = (struct iovec){data, size};
	for (size_t at = 0; at + 4 <= size; at += at < 112 ? 4 : 3004) {
		uint32_t kept;

		for (int forged = 0; forged < 2; forged++) {
			const char *file;
			struct known is;
			int err;

			memcpy(&kept, (char *)data + at, 4);
			memcpy((char *)data + at, forged ? &huge : &nan, 4);
			assert_int_equal(durable_save(path, "learned", 1, &io, 1), 0);
			memcpy((char *)data + at, &kept, 4);
			known_new(&is, RANK);
			err = learned_load(&is.l, &is.micro, f.path, &file);
			/* Counters and codes may be anything; what is walked or computed with may
			 * not. */
			assert_true(err == 0 || err == -EBADMSG || err == -EPROTO);
			assert_int_equal(dream_graph_check(&is.l.graph), 0);
			for (size_t w = 0; w < is.l.ewc.config.n; w++)
				assert_true(isfinite(learned_current(&is.l)->weights[w]) &&
					    is.l.ewc.stiffness[w] >= 0);
			assert_true(is.l.ewc.ntasks <= LEARNED_TASKS);
			learned_fini(&is.l);
		}
	}
	io.iov_len = 0;
	assert_int_equal(durable_save(path, "learned", 1, &io, 1), 0);
	is_refused(&f, "nothing", 0);
	free(data);
	learned_fini(&was.l);
	folder_free(&f);
}

static void a_failed_save_loses_what_was_there(void **state)
{
	struct rlimit old, small = {1000, RLIM_INFINITY};
	struct known was, is;
	const char *file;
	struct folder f = {FOLDER};
	int err;

	folder_new(&f);
	known_new(&was, RANK);
	known_new(&is, RANK);
	learn_something(&was);
	assert_int_equal(learned_save(&was.l, &was.micro, f.path), 0);
	was.l.cycles_b = 12;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	err = learned_save(&was.l, &was.micro, f.path);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(err, -EFBIG);
	assert_int_equal(learned_load(&is.l, &is.micro, f.path, &file), 0);
	assert_int_equal(is.l.cycles_b, 11);
	is.l.cycles_b = 12;
	same_knowledge(&was, &is);
	assert_int_equal(learned_save(&was.l, &was.micro, "/no/such/folder"), -ENOENT);
	learned_fini(&was.l);
	learned_fini(&is.l);
	folder_free(&f);
}

static void a_bad_file_is_overwritten_or_lost(void **state)
{
	char path[PATH_MAX], kept[PATH_MAX], *data;
	struct folder f = {FOLDER};

	folder_new(&f);
	for (int round = 1; round <= 3; round++) {
		char n = (char)('0' + round);

		folder_file(&f, LEARNED_FILE, path);
		write_file(path, &n, 1);
		assert_int_equal(learned_set_aside(f.path, LEARNED_FILE, kept, sizeof(kept)), 0);
		assert_int_equal(access(path, F_OK), -1);
		assert_int_equal(kept[strlen(kept) - 1], n);
		assert_int_equal(read_file(kept, &data), 1);
		assert_int_equal(data[0], n);
		free(data);
	}
	assert_int_equal(learned_set_aside(f.path, LEARNED_FILE, kept, sizeof(kept)), -ENOENT);
	folder_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_learned_comes_back_changed),
		cmocka_unit_test(another_shape_is_taken),
		cmocka_unit_test(a_damaged_file_is_taken),
		cmocka_unit_test(a_forged_file_is_believed),
		cmocka_unit_test(a_failed_save_loses_what_was_there),
		cmocka_unit_test(a_bad_file_is_overwritten_or_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
