/* SPDX-License-Identifier: Apache-2.0 */
/* test_engine_process.c: what one query leaves behind. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/engine_state.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { HEADS = 2, SEQ = 20 }; /* of the options below */

/* Query 0's attention, as the engine has it from its data. */
static void last_weights(const struct engine *e, float *weights)
{
	const struct engine_options *o = &e->options;
	const size_t floats = (size_t)o->heads * o->seq * o->dim;
	float *out = malloc(floats * sizeof(float));
	struct attention a;
	double p[SEQ];

	assert_non_null(out);
	attention_set_packed(&a, o->heads, o->kv_heads, o->seq, o->seq, o->dim);
	a.q = e->tokens;
	a.k = e->context;
	a.v = e->context + floats;
	a.out = out;
	a.weights = weights;
	assert_int_equal(attention_ref(&a, p, sizeof(p)), 0);
	free(out);
}

static void records_tell_of_other_attention_than_was_paid(void **state)
{
	char *argv[] = {(char *)"engine", (char *)"--seq",     (char *)"20", (char *)"--dim",
			(char *)"10",	  (char *)"--heads",   (char *)"2",  (char *)"--kv-heads",
			(char *)"1",	  (char *)"--workers", (char *)"1",  NULL};
	struct engine *e = calloc(1, sizeof(*e));
	struct engine_query q = {0, NULL};
	struct engine_answer answer;
	const struct trajectory *t;
	float weights[HEADS * SEQ];

	assert_non_null(e);
	assert_int_equal(engine_options_parse(&e->options, COUNT(argv) - 1, argv), 0);
	assert_int_equal(engine_init(e), 0);
	q.x = e->queries;
	assert_int_equal(engine_process(&e->worker[0], &q, &answer), 0);
	t = trajectory_ring_peek(&e->ring);
	assert_non_null(t);
	assert_int_equal(t->nsteps, TRAJECTORY_STEPS);
	last_weights(e, weights);
	for (uint32_t h = 0; h < HEADS; h++) {
		const struct trajectory_attention *kept = &t->steps[TRAJECTORY_STEPS - 1].attention;
		float rest = 1;

		for (int k = 0; k < TRAJECTORY_TOP; k++) {
			const struct trajectory_weight *w = &kept->top[h][k];

			assert_true(w->key < SEQ);
			assert_true(fabsf((float)w->weight / 65535 - weights[h * SEQ + w->key]) <
				    1e-4f);
			rest -= weights[h * SEQ + w->key];
		}
		assert_true(fabsf((float)kept->rest[h] / 65535 - rest) < 1e-4f);
	}
	engine_fini(e);
	free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_tell_of_other_attention_than_was_paid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
