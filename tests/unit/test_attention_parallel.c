/* SPDX-License-Identifier: Apache-2.0 */
/* test_attention_parallel.c: attention on several threads, and the choice of blocks. */
#include "kernels/attention/attention_parallel.h"
#include "tests/lib/attention_problem.h"

static void run_parallel(struct problem *p, const struct kernel *k, uint32_t threads)
{
	size_t need = attention_parallel_scratch(k, &p->a, threads);
	unsigned char *scratch = aligned_alloc(ATTENTION_ALIGN, need + ATTENTION_ALIGN);

	assert_non_null(scratch);
	memset(scratch, 0xff, need + ATTENTION_ALIGN);
	memset(p->got, 0xff, p->q_size * sizeof(float));
	assert_int_equal(attention_parallel(k, &p->a, threads, scratch, need), 0);
	for (size_t i = 0; i < ATTENTION_ALIGN; i++)
		assert_int_equal(scratch[need + i], 0xff);
	assert_int_equal(attention_parallel(k, &p->a, threads, scratch, need - 1), -EINVAL);
	free(scratch);
}

static void check_parallel(struct problem *p)
{
	const size_t rows = p->a.heads * p->a.q_len, keys = p->a.heads * p->a.kv_len;
	float *lse = malloc(2 * (rows + keys) * sizeof(float)), *want, *weights;

	assert_non_null(lse);
	want = lse + rows;
	weights = want + rows;
	p->a.lse = want;
	p->a.weights = weights + keys;
	reference(p);
	p->a.lse = lse;
	p->a.weights = weights;
	FOR_ATTENTION_ROWS(k)
	{
		for (uint32_t threads = 1; threads <= 3; threads++) {
			memset(weights, 0xff, keys * sizeof(*weights));
			run_parallel(p, k, threads);
			compare(p, k);
			for (size_t j = 0; j < keys; j++)
				if (!(fabsf(weights[j] - weights[keys + j]) <= 4e-5f))
					fail_msg("%s %s: weight %g, not %g", k->name,
						 isa_name(k->isa), weights[j], weights[keys + j]);
			for (size_t i = 0; i < rows; i++)
				if (!(lse[i] == want[i] || fabsf(lse[i] - want[i]) <= 1e-4f))
					fail_msg("%s %s: lse %g, not %g", k->name, isa_name(k->isa),
						 lse[i], want[i]);
		}
	}
	free(lse);
}

static void threads_change_the_answer(void **state)
{
	/* heads, heads of keys, queries, keys; the last has queries that see nothing */
	static const uint32_t shapes[][4] = {
		{4, 2, 130, 130}, {3, 3, 33, 200}, {2, 1, 1, 50}, {2, 1, 200, 70}};
	static const uint32_t windows[] = {0, 1, 40};
	struct problem p;

	for (size_t i = 0; i < COUNT(shapes); i++) {
		for (size_t j = 0; j < 2 * COUNT(windows); j++) {
			problem_init(&p, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], 18,
				     j % 2);
			p.a.window = windows[j / 2];
			check_parallel(&p);
			problem_fini(&p);
		}
	}
}

static void a_bad_parallel_call_is_accepted(void **state)
{
	const struct kernel *k = kernels_select("attention_flash", isa_best());
	const struct kernel *other = kernels_select("micro_lora_forward", isa_best());
	struct problem p;
	size_t need;
	void *scratch;

	problem_init(&p, 2, 2, 20, 20, 8, false);
	need = attention_parallel_scratch(k, &p.a, 2);
	scratch = aligned_alloc(ATTENTION_ALIGN, need);
	assert_non_null(scratch);
	assert_int_equal(attention_parallel(NULL, &p.a, 2, scratch, need), -EINVAL);
	assert_int_equal(attention_parallel(other, &p.a, 2, scratch, need), -EINVAL);
	assert_int_equal(attention_parallel(k, NULL, 2, scratch, need), -EINVAL);
	assert_int_equal(attention_parallel(k, &p.a, 0, scratch, need), -EINVAL);
	assert_int_equal(attention_parallel(k, &p.a, 2, NULL, need), -EINVAL);
	assert_int_equal(attention_parallel(k, &p.a, 2, (char *)scratch + 4, need), -EINVAL);
	p.a.head_dim = ATTENTION_MAX_DIM + 1;
	assert_int_equal(attention_parallel(k, &p.a, 1, scratch, need), -EINVAL);
	free(scratch);
	problem_fini(&p);
}

static void tuned_blocks_are_refused_or_change_the_answer(void **state)
{
	struct problem p;

	problem_init(&p, 2, 1, 70, 90, 12, true);
	reference(&p);
	FOR_ATTENTION_ROWS(k)
	{
		size_t need = attention_tune_scratch(k, &p.a);
		void *scratch = aligned_alloc(ATTENTION_ALIGN, need + ATTENTION_ALIGN);
		uint32_t bq = 0, bk = 0;

		assert_non_null(scratch);
		assert_int_equal(attention_tune(k, &p.a, 0, scratch, need, &bq, &bk), 0);
		assert_true(bq > 0 && bq <= ATTENTION_MAX_BLOCK_Q);
		assert_true(bk > 0 && bk <= ATTENTION_MAX_BLOCK_K);
		assert_int_equal(attention_tune(k, &p.a, 0, scratch, need - 1, &bq, &bk), -EINVAL);
		assert_int_equal(attention_tune(k, &p.a, 0, scratch, need, NULL, &bk), -EINVAL);
		assert_int_equal(attention_tune(k, NULL, 0, scratch, need, &bq, &bk), -EINVAL);
		assert_int_equal(attention_tune(NULL, &p.a, 0, scratch, need, &bq, &bk), -EINVAL);
		p.a.block_q = bq;
		p.a.block_k = bk;
		problem_reserve(&p);
		run_row(&p, k);
		compare(&p, k);
		p.a.block_q = p.a.block_k = 0;
		free(scratch);
	}
	problem_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_change_the_answer),
		cmocka_unit_test(a_bad_parallel_call_is_accepted),
		cmocka_unit_test(tuned_blocks_are_refused_or_change_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
