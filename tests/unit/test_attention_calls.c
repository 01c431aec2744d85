/* SPDX-License-Identifier: Apache-2.0 */
/* test_attention_calls.c: what an attention call promises beside its answer: errors, sizes, work
 * told. */
#include "tests/lib/attention_problem.h"

/* Held to the reference's within the error of a logit; rows that see nothing give -inf. */
static void the_saved_sum_of_exponentials_is_wrong(void **state)
{
	enum { HEADS = 2, QUERIES = 90 };
	float want[HEADS * QUERIES], got[HEADS * QUERIES + 1];
	struct problem p;

	for (uint32_t kv_len = 20; kv_len <= 300; kv_len += 140) {
		problem_init(&p, HEADS, 1, QUERIES, kv_len, 17, true);
		p.a.lse = want;
		reference(&p);
		p.a.lse = got;
		FOR_ATTENTION_ROWS(k)
		{
			memset(got, 0xff, sizeof(got));
			run_row(&p, k);
			for (uint32_t i = 0; i < HEADS * QUERIES; i++)
				if (!(want[i] == got[i] || fabsf(got[i] - want[i]) <= 1e-4f))
					fail_msg("%s %s: kv%u row %u: %g, not %g", k->name,
						 isa_name(k->isa), kv_len, i, (double)got[i],
						 (double)want[i]);
			assert_true(isnan(got[HEADS * QUERIES]));
		}
		assert_true(kv_len > QUERIES || want[0] == -INFINITY);
		problem_fini(&p);
	}
}

static void a_bad_shape_is_accepted(void **state)
{
	struct problem p;

	problem_init(&p, 4, 2, 8, 8, 8, false);
	p.a.out = p.got;
	FOR_ATTENTION_ROWS(k)
	{
		size_t need = kernels_attention_scratch(k, &p.a);
		struct attention bad[13];

		for (size_t i = 0; i < COUNT(bad); i++)
			bad[i] = p.a;
		bad[0].q = NULL;
		bad[1].k = NULL;
		bad[2].v = NULL;
		bad[3].out = NULL;
		bad[4].heads = 0;
		bad[5].kv_heads = 3;
		bad[6].q_len = 0;
		bad[7].kv_len = 0;
		bad[8].head_dim = ATTENTION_MAX_DIM + 1;
		bad[9].block_q = 17;
		bad[10].block_k = ATTENTION_MAX_BLOCK_K + 1;
		bad[11].scale = NAN;
		bad[12].kv_len = UINT32_MAX;
		for (size_t i = 0; i < COUNT(bad); i++)
			assert_int_equal(k->run.attention(&bad[i], p.scratch, p.scratch_bytes),
					 -EINVAL);
		assert_int_equal(k->run.attention(NULL, p.scratch, need), -EINVAL);
		assert_int_equal(k->run.attention(&p.a, NULL, need), -EINVAL);
		assert_int_equal(k->run.attention(&p.a, p.scratch, need - 1), -EINVAL);
		assert_int_equal(k->run.attention(&p.a, p.scratch, need), 0);
	}
	problem_fini(&p);
}

static void flash_scratch_grows_with_the_sequence(void **state)
{
	struct attention a, b;

	for (uint32_t dim = 1; dim <= ATTENTION_MAX_DIM; dim++) {
		attention_set_packed(&a, 8, 8, 64, 64, dim);
		attention_set_packed(&b, 8, 8, 1 << 20, 1 << 20, dim);
		assert_int_equal(attention_flash_scratch(&a), attention_flash_scratch(&b));
		assert_true(attention_flash_scratch(&a) <= 160 * 1024);
	}
}

/* With v 1 at one key and 0 at the others, the output of the last query is that key's weight. */
static void weights_by_output(struct problem *p, uint32_t h, float *want)
{
	for (uint32_t j = 0; j < p->a.kv_len; j++) {
		memset(p->v, 0, p->k_size * sizeof(float));
		p->v[j * p->a.head_dim] = 1;
		reference(p);
		want[j] = p->want[h * p->a.o_head + (p->a.q_len - 1) * p->a.o_row];
	}
}

static void check_weights(uint32_t q_len, uint32_t kv_len, uint32_t dim, bool causal,
			  uint32_t window)
{
	enum { HEADS = 2 };
	float got[HEADS * 300 + 1], want[HEADS * 300];
	const uint32_t n = HEADS * kv_len;
	struct problem p;

	problem_init(&p, HEADS, 1, q_len, kv_len, dim, causal);
	p.a.window = window;
	for (uint32_t h = 0; h < HEADS && q_len * kv_len < 1000; h++)
		weights_by_output(&p, h, got + h * kv_len);
	p.a.weights = want;
	reference(&p);
	for (uint32_t j = 0; j < n && q_len * kv_len < 1000; j++)
		assert_true(fabsf(got[j] - want[j]) <= 1e-7f);
	p.a.weights = got;
	FOR_ATTENTION_ROWS(k)
	{
		memset(got, 0xff, sizeof(got));
		run_row(&p, k);
		for (uint32_t j = 0; j < n; j++)
			if (!(fabsf(got[j] - want[j]) <= 4e-5f))
				fail_msg("%s %s q%u kv%u D%u causal%d window%u key %u: %g, not %g",
					 k->name, isa_name(k->isa), q_len, kv_len, dim, causal,
					 window, j, (double)got[j], (double)want[j]);
		assert_true(isnan(got[n])); /* untouched beyond */
	}
	problem_fini(&p);
}

static void weights_of_the_last_query_are_wrong(void **state)
{
	static const uint32_t kv[] = {1, 3, 16, 17, 50, 131, 300}, q[] = {1, 5, 40, 90, 150};

	for (size_t i = 0; i < COUNT(kv); i++) {
		for (size_t j = 0; j < COUNT(q); j++) {
			check_weights(q[j], kv[i], 8, false, 0);
			check_weights(q[j], kv[i], 9, true, 0);
			check_weights(q[j], kv[i], 5, true, 7);
			check_weights(q[j], kv[i], 5, false, 20);
		}
	}
}

/* All keys that it sees are -inf: it weighs none, which is no reason for NaN. */
static void weights_of_hidden_logits_are_no_zeros(void **state)
{
	float got[40];
	struct problem p;

	problem_init(&p, 1, 1, 3, 40, 4, false);
	for (size_t i = 0; i < p.k_size; i++)
		p.k[i] = -INFINITY;
	for (size_t i = 0; i < p.q_size; i++)
		p.q[i] = 1;
	p.a.weights = got;
	FOR_ATTENTION_ROWS(k)
	{
		memset(got, 0xff, sizeof(got));
		run_row(&p, k);
		for (uint32_t j = 0; j < 40; j++)
			assert_true(got[j] == 0);
	}
	problem_fini(&p);
}

static void check_flops(uint32_t q, uint32_t kv, uint32_t window, bool causal)
{
	struct attention a;
	uint64_t pairs = 0;

	attention_set_packed(&a, 2, 2, q, kv, 8);
	a.causal = causal;
	a.window = window;
	for (int64_t i = 0; i < q; i++) {
		for (int64_t j = 0; j < kv; j++) {
			int64_t at = i + kv - q;

			pairs += (!causal || j <= at) && (!window || j > at - window);
		}
	}
	assert_int_equal(attention_flops(&a), pairs * 4 * 8 * 2);
}

static void flops_are_miscounted(void **state)
{
	for (uint32_t q = 1; q < 20; q++) {
		for (uint32_t kv = 1; kv < 20; kv++) {
			for (uint32_t w = 0; w < 50; w++)
				check_flops(q, kv, w / 2, w % 2);
		}
	}
}

static void the_wrong_instruction_set_is_chosen(void **state)
{
	enum isa isa;

	assert_int_equal(isa_choose("vax", &isa), -EINVAL);
	assert_int_equal(isa_choose("scalar", &isa), 0);
	assert_int_equal(isa, ISA_SCALAR);
	for (int i = 0; i < ISA_COUNT; i++) {
		const struct kernel *k = kernels_select("attention_flash", (enum isa)i);

		assert_non_null(k); /* there is always the scalar one */
		assert_true(k->isa <= (enum isa)i && kernels_supported(k));
	}
	assert_int_equal(kernels_select("attention_flash", isa_best())->isa, isa_best());
	assert_null(kernels_select("no_such_kernel", ISA_AVX512));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_saved_sum_of_exponentials_is_wrong),
		cmocka_unit_test(a_bad_shape_is_accepted),
		cmocka_unit_test(flash_scratch_grows_with_the_sequence),
		cmocka_unit_test(weights_of_the_last_query_are_wrong),
		cmocka_unit_test(weights_of_hidden_logits_are_no_zeros),
		cmocka_unit_test(flops_are_miscounted),
		cmocka_unit_test(the_wrong_instruction_set_is_chosen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
