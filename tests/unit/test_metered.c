/* SPDX-License-Identifier: Apache-2.0 */
/* test_metered.c: short calls are told to the counters in batches, and none is lost. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "collectors/segment.h"
#include "kernels/kernels.h"

enum { DIM = 64, CALLS = 2000 };

static float mem[4][2 * DIM];

struct caller {
	struct metered forward, update;
	const char *name;
};

static void caller_init(struct caller *c, const char *name)
{
	char update[64];

	c->name = name;
	snprintf(update, sizeof(update), "%s_update", name);
	metered_init_as(&c->forward, name, kernels_find("micro_lora_forward", ISA_SCALAR));
	metered_init_as(&c->update, update, kernels_find("micro_lora_update", ISA_SCALAR));
}

static struct lora lora_of(uint32_t dim, uint32_t rank)
{
	return (struct lora){.dim_in = dim, .dim_out = dim, .rank = rank, .a = mem[0], .b = mem[1]};
}

static void forward(const struct caller *c, uint32_t dim, uint32_t rank, uint32_t rows, int calls)
{
	const struct lora l = lora_of(dim, rank);

	for (int i = 0; i < calls; i++)
		assert_int_equal(metered_lora_forward(&c->forward, &l, mem[2], 0, mem[3], 0, rows),
				 0);
}

static uint64_t flops_of(uint32_t dim, uint32_t rank, uint32_t rows)
{
	const struct lora l = lora_of(dim, rank);

	return rows * lora_forward_flops(&l);
}

/* What a watcher reads of this process; -1 when there is no such number. */
static int64_t told(const char *name, const char *what, uint64_t *timed)
{
	char full[96], why[256] = "";
	int err = 0;
	struct segment *s = segment_attach(getpid(), &err, why, sizeof(why));
	int64_t n = -1;

	assert_non_null(s);
	assert_int_equal(segment_refresh(s), 0);
	snprintf(full, sizeof(full), "kernel.%s.scalar.%s", name, what);
	for (uint32_t i = 0; i < segment_count(s); i++) {
		const struct segment_metric *m = segment_metric(s, i);

		if (strcmp(m->name, full))
			continue;
		n = strcmp(what, "ns") ? m->value : (int64_t)m->count;
		if (timed)
			*timed = m->timed;
	}
	segment_free(s);
	return n;
}

static void calls_of_one_shape_are_lost(void **state)
{
	struct caller c;
	uint64_t timed;
	int64_t live;

	caller_init(&c, "one_shape");
	forward(&c, DIM, 1, 1, CALLS);
	live = told("one_shape", "ns", NULL);
	assert_in_range(live, CALLS - METERED_BRIEF_ONE_IN + 1, CALLS);
	metered_settle();
	assert_int_equal(told("one_shape", "ns", &timed), CALLS);
	assert_int_equal(timed, CALLS / METERED_BRIEF_ONE_IN + 1);
	assert_int_equal(told("one_shape", "flops", NULL), CALLS * flops_of(DIM, 1, 1));
	metered_settle();
	assert_int_equal(told("one_shape", "ns", NULL), CALLS);
}

/* Not the same work, so not the same batch; and no more of them is timed. */
static void a_change_of_shape_is_missed(void **state)
{
	static const uint32_t shapes[][3] = {{64, 1, 1}, {64, 2, 1}, {63, 1, 1}, {64, 1, 2}};
	uint64_t flops = 0, timed;
	struct caller c;
	int n = 0;

	caller_init(&c, "shapes");
	for (int i = 0; i < 900; i++) {
		const uint32_t *s = shapes[i / (1 + i % 7) % 4];

		forward(&c, s[0], s[1], s[2], 1 + i % 3);
		flops += (uint64_t)(1 + i % 3) * flops_of(s[0], s[1], s[2]);
		n += 1 + i % 3;
	}
	metered_settle();
	assert_int_equal(told("shapes", "ns", &timed), n);
	assert_in_range(timed, n / METERED_BRIEF_ONE_IN, n / METERED_BRIEF_ONE_IN + 1);
	assert_int_equal(told("shapes", "flops", NULL), flops);
}

static void *call_and_end(void *arg)
{
	const struct caller *c = arg;
	struct lora_gradient g = {.a = mem[2], .b = mem[3]};
	const struct lora l = lora_of(8, 1);

	forward(c, DIM, 1, 1, 100);
	for (int i = 0; i < 30; i++)
		metered_lora_update(&c->update, &l, mem[0], mem[1], 1, &g);
	return NULL;
}

static void a_thread_that_ends_takes_counts_with_it(void **state)
{
	const struct lora l = lora_of(8, 1);
	struct caller c;
	pthread_t id;

	caller_init(&c, "ends");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&id, NULL, call_and_end, &c), 0);
		assert_int_equal(pthread_join(id, NULL), 0);
	}
	assert_int_equal(told("ends", "ns", NULL), 300);
	assert_int_equal(told("ends", "flops", NULL), 300 * flops_of(DIM, 1, 1));
	assert_int_equal(told("ends_update", "ns", NULL), 90);
	assert_int_equal(told("ends_update", "bytes", NULL), 90 * lora_update_bytes(&l));
}

static void a_child_counts_its_parents_calls(void **state)
{
	struct caller c;
	int status;
	pid_t pid;

	caller_init(&c, "family");
	forward(&c, DIM, 1, 1, 30);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		forward(&c, DIM, 1, 1, 10);
		metered_settle();
		_exit(told("family", "ns", NULL) == 10 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	metered_settle();
	assert_int_equal(told("family", "ns", NULL), 30);
}

/* There is one batch for all that runs forward. */
static void names_that_take_turns_share_counts(void **state)
{
	enum { NAMES = 3 };
	struct caller c[NAMES];
	char name[NAMES][16];
	uint64_t timed;

	for (int i = 0; i < NAMES; i++) {
		snprintf(name[i], sizeof(name[i]), "turns%d", i);
		caller_init(&c[i], name[i]);
	}
	for (int n = 0; n < CALLS; n++)
		for (int i = 0; i < NAMES; i++)
			forward(&c[i], DIM, 1, 1, 1 + i * (n % 2));
	metered_settle();
	for (int i = 0; i < NAMES; i++) {
		const uint64_t calls = CALLS + (uint64_t)i * CALLS / 2;

		assert_int_equal(told(name[i], "ns", &timed), calls);
		assert_int_equal(timed, calls / METERED_BRIEF_ONE_IN + 1);
		assert_int_equal(told(name[i], "flops", NULL), calls * flops_of(DIM, 1, 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_of_one_shape_are_lost),
		cmocka_unit_test(a_change_of_shape_is_missed),
		cmocka_unit_test(a_thread_that_ends_takes_counts_with_it),
		cmocka_unit_test(a_child_counts_its_parents_calls),
		cmocka_unit_test(names_that_take_turns_share_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
