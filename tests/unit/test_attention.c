/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_attention.c: every attention variant against the double-precision reference.
 * Long because each contract of the kernels has a case of its own, over one set of inputs.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Inputs at odd addresses, so that a load that wants alignment faults. */
struct problem {
	struct attention a;
	float *mem, *q, *k, *v, *got, *want;
	size_t q_size, k_size;
	void *scratch;
	size_t scratch_bytes;
};

static uint32_t random_state = 12345;

static float random_float(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) / (float)(1 << 24) - 0.5f;
}

static void problem_init(struct problem *p, uint32_t heads, uint32_t kv_heads, uint32_t q_len,
			 uint32_t kv_len, uint32_t dim, bool causal)
{
	size_t total;

	attention_set_packed(&p->a, heads, kv_heads, q_len, kv_len, dim);
	p->a.causal = causal;
	p->q_size = (size_t)heads * q_len * dim;
	p->k_size = (size_t)kv_heads * kv_len * dim;
	total = 3 * p->q_size + 2 * p->k_size + 1;
	p->mem = malloc(total * sizeof(float));
	assert_non_null(p->mem);
	p->q = p->mem + 1;
	p->k = p->q + p->q_size;
	p->v = p->k + p->k_size;
	p->got = p->v + p->k_size;
	p->want = p->got + p->q_size;
	for (size_t i = 0; i < p->q_size + 2 * p->k_size; i++)
		p->q[i] = 4 * random_float();
	p->a.q = p->q;
	p->a.k = p->k;
	p->a.v = p->v;
	p->a.out = p->got;
	p->scratch_bytes = attention_standard_scratch(&p->a) + attention_flash_scratch(&p->a) +
			   attention_textbook_scratch(&p->a);
	p->scratch_bytes = (p->scratch_bytes + 63) / 64 * 64;
	p->scratch = aligned_alloc(ATTENTION_ALIGN, p->scratch_bytes);
	assert_non_null(p->scratch);
}

static void problem_fini(struct problem *p)
{
	free(p->scratch);
	free(p->mem);
}

/* The bound of attention.h for one query. */
static double row_bound(const struct attention *a, uint32_t h, uint32_t i)
{
	uint32_t kv = h / (a->heads / a->kv_heads);
	double worst = 0, vmax = 0;

	for (uint32_t j = 0; j < a->kv_len; j++) {
		const float *k = a->k + kv * a->k_head + j * a->k_row;
		const float *v = a->v + kv * a->v_head + j * a->v_row;
		const float *q = a->q + h * a->q_head + i * a->q_row;
		double sum = 0;

		for (uint32_t d = 0; d < a->head_dim; d++) {
			sum += fabs((double)q[d] * k[d]);
			vmax = fmax(vmax, fabs(v[d]));
		}
		worst = fmax(worst, sum * a->scale);
	}
	return ATTENTION_ERROR * (1 + worst) * vmax;
}

static void reference(struct problem *p)
{
	p->a.out = p->want;
	assert_int_equal(attention_ref(&p->a, p->scratch, p->scratch_bytes), 0);
	p->a.out = p->got;
}

/* Exactly the scratch that the header asks for, filled with rubbish. */
static void run_row(struct problem *p, const struct kernel *k)
{
	size_t need = kernels_attention_scratch(k, &p->a);

	assert_true(need <= p->scratch_bytes);
	memset(p->scratch, 0xff, p->scratch_bytes);
	memset(p->got, 0xff, p->q_size * sizeof(float));
	assert_int_equal(k->run.attention(&p->a, p->scratch, need), 0);
	for (size_t i = need; i < p->scratch_bytes; i++)
		if (((unsigned char *)p->scratch)[i] != 0xff)
			fail_msg("%s %s wrote beyond its scratch", k->name, isa_name(k->isa));
}

static void compare(const struct problem *p, const struct kernel *k)
{
	const struct attention *a = &p->a;

	for (uint32_t h = 0; h < a->heads; h++) {
		for (uint32_t i = 0; i < a->q_len; i++) {
			double bound = row_bound(a, h, i);

			for (uint32_t d = 0; d < a->head_dim; d++) {
				size_t at = h * a->o_head + i * a->o_row + d;
				double diff = fabs((double)p->got[at] - p->want[at]);

				if (!(diff <= bound))
					fail_msg("%s %s: H%u/%u q%u kv%u D%u causal%d window%u "
						 "bq%u bk%u: "
						 "head %u row %u dim %u: %g, not %g (bound %g)",
						 k->name, isa_name(k->isa), a->heads, a->kv_heads,
						 a->q_len, a->kv_len, a->head_dim, a->causal,
						 a->window, a->block_q, a->block_k, h, i, d,
						 (double)p->got[at], (double)p->want[at], bound);
			}
		}
	}
}

#define FOR_ATTENTION_ROWS(row)                                                        \
	for (const struct kernel *row = kernels; row < kernels + kernels_count; row++) \
		if (row->kind == KERNEL_attention && kernels_supported(row))

static void check_shape(uint32_t heads, uint32_t kv_heads, uint32_t q_len, uint32_t kv_len,
			uint32_t dim, bool causal)
{
	struct problem p;

	problem_init(&p, heads, kv_heads, q_len, kv_len, dim, causal);
	reference(&p);
	FOR_ATTENTION_ROWS(k)
	{
		run_row(&p, k);
		compare(&p, k);
	}
	problem_fini(&p);
}

static void wrong_answer_at_some_head_dim(void **state)
{
	static const uint32_t dims[] = {1,   2,	  3,   4,   5,	 7,   8,   9,	 11,  12,
					13,  15,  16,  17,  24,	 31,  32,  33,	 48,  63,
					64,  65,  66,  72,  80,	 95,  96,  97,	 99,  100,
					101, 102, 103, 112, 127, 128, 129, 130,	 200, 255,
					256, 257, 384, 511, 512, 513, 768, 1023, 1024};

	for (size_t i = 0; i < COUNT(dims); i++) {
		check_shape(2, 2, 37, 41, dims[i], false);
		check_shape(2, 2, 37, 41, dims[i], true);
	}
}

static void wrong_answer_at_some_sequence_length(void **state)
{
	static const uint32_t lens[] = {1,   2,	  3,   4,   5,	 6,   7,   8,	9,   11,  13,
					15,  16,  17,  23,  31,	 32,  33,  47,	48,  49,  63,
					64,  65,  79,  80,  81,	 95,  96,  97,	111, 127, 128,
					129, 130, 191, 192, 193, 255, 256, 257, 260};

	for (size_t i = 0; i < COUNT(lens); i++) {
		check_shape(1, 1, lens[i], lens[i], 20, false);
		check_shape(1, 1, lens[i], lens[i], 20, true);
	}
}

static void wrong_answer_when_query_and_key_lengths_differ(void **state)
{
	static const uint32_t q[] = {1, 3, 16, 17, 64, 70, 130},
			      kv[] = {1, 2, 15, 33, 64, 129, 260};

	for (size_t i = 0; i < COUNT(q); i++) {
		for (size_t j = 0; j < COUNT(kv); j++) {
			check_shape(1, 1, q[i], kv[j], 24, false);
			check_shape(1, 1, q[i], kv[j], 24, true);
		}
	}
}

static void wrong_head_read_with_shared_keys(void **state)
{
	check_shape(8, 8, 33, 33, 16, true);
	check_shape(8, 2, 33, 33, 16, false);
	check_shape(8, 1, 33, 70, 16, true);
}

static void wrong_answer_with_a_block_size_of_ones_own(void **state)
{
	static const uint32_t bk[] = {1, 5, 16, 33, 64, 100, 512};
	struct problem p;

	for (uint32_t bq = 16; bq <= ATTENTION_MAX_BLOCK_Q; bq += 16) {
		for (size_t i = 0; i < COUNT(bk); i++) {
			problem_init(&p, 1, 1, 100, 120, 33, i % 2);
			p.a.block_q = bq;
			p.a.block_k = bk[i];
			free(p.scratch);
			p.scratch_bytes =
				attention_standard_scratch(&p.a) + attention_flash_scratch(&p.a);
			p.scratch_bytes = (p.scratch_bytes + 63) / 64 * 64;
			p.scratch = aligned_alloc(ATTENTION_ALIGN, p.scratch_bytes);
			assert_non_null(p.scratch);
			reference(&p);
			FOR_ATTENTION_ROWS(k)
			{
				run_row(&p, k);
				compare(&p, k);
			}
			problem_fini(&p);
		}
	}
}

static void a_sliding_window_slides_elsewhere(void **state)
{
	static const uint32_t windows[] = {1, 2, 7, 8, 15, 16, 17, 33, 64, 100, 129, 500};
	static const uint32_t lens[][2] = {{100, 100}, {33, 257}, {129, 40}, {1, 200}};
	struct problem p;

	for (size_t i = 0; i < COUNT(windows); i++) {
		for (size_t j = 0; j < 2 * COUNT(lens); j++) {
			problem_init(&p, 2, 1, lens[j / 2][0], lens[j / 2][1], 20, j % 2);
			p.a.window = windows[i];
			p.a.block_k = 40;
			reference(&p);
			FOR_ATTENTION_ROWS(k)
			{
				run_row(&p, k);
				compare(&p, k);
			}
			problem_fini(&p);
		}
	}
}

/* [row][head][dim], as a model lays its projections out. */
static void wrong_answer_with_interleaved_heads(void **state)
{
	struct problem p;

	problem_init(&p, 4, 4, 50, 50, 20, true);
	p.a.q_head = p.a.k_head = p.a.v_head = p.a.o_head = 20;
	p.a.q_row = p.a.k_row = p.a.v_row = p.a.o_row = 80;
	reference(&p);
	FOR_ATTENTION_ROWS(k)
	{
		run_row(&p, k);
		compare(&p, k);
	}
	problem_fini(&p);
}

static void overflow_with_large_logits(void **state)
{
	static const float factors[] = {1e-20f, 30, 1e3f, 1e9f, 1e15f};
	struct problem p;

	for (size_t f = 0; f < COUNT(factors); f++) {
		problem_init(&p, 1, 1, 40, 70, 16, false);
		for (size_t i = 0; i < p.q_size; i++)
			p.q[i] *= factors[f];
		reference(&p);
		FOR_ATTENTION_ROWS(k)
		{
			run_row(&p, k);
			compare(&p, k);
			for (size_t i = 0; i < p.q_size; i++)
				assert_true(isfinite(p.got[i]));
		}
		problem_fini(&p);
	}
}

static void rows_that_see_nothing_are_not_zero(void **state)
{
	struct problem p;

	problem_init(&p, 2, 1, 90, 20, 17, true); /* the first 70 queries see no key */
	FOR_ATTENTION_ROWS(k)
	{
		run_row(&p, k);
		for (uint32_t h = 0; h < 2; h++) {
			for (uint32_t i = 0; i < 70 * 17; i++)
				assert_true(p.got[h * 90 * 17 + i] == 0);
			assert_true(fabsf(p.got[h * 90 * 17 + 70 * 17] - p.v[0]) <= 1e-6f);
		}
	}
	problem_fini(&p);
}

/* q is positive, so a key of -inf gives a logit of -inf: hidden, wherever it is. */
static void keys_of_minus_infinity_still_weigh(void **state)
{
	struct problem p, all;

	problem_init(&p, 1, 1, 20, 150, 8, false);
	for (size_t i = 0; i < p.q_size; i++)
		p.q[i] = fabsf(p.q[i]) + 0.1f;
	for (uint32_t j = 0; j < 150; j++)
		if (j < 130 || j % 3 == 0) /* a whole first block hidden too */
			for (uint32_t d = 0; d < 8; d++)
				p.k[j * 8 + d] = -INFINITY;
	reference(&p);
	for (size_t i = 0; i < p.q_size; i++)
		assert_true(isfinite(p.want[i]));
	FOR_ATTENTION_ROWS(k)
	{
		run_row(&p, k);
		for (size_t i = 0; i < p.q_size; i++)
			assert_true(fabsf(p.got[i] - p.want[i]) <= 1e-4f);
	}
	problem_fini(&p);

	problem_init(&all, 1, 1, 5, 40, 8, false);
	for (size_t i = 0; i < all.q_size; i++)
		all.q[i] = 1;
	for (size_t i = 0; i < all.k_size; i++)
		all.k[i] = -INFINITY;
	FOR_ATTENTION_ROWS(k)
	{
		run_row(&all, k);
		for (size_t i = 0; i < all.q_size; i++)
			assert_true(all.got[i] == 0);
	}
	problem_fini(&all);
}

static void check_spoiled(struct problem *p, uint32_t spoiled)
{
	reference(p);
	FOR_ATTENTION_ROWS(k)
	{
		run_row(p, k);
		for (uint32_t i = 0; i < p->a.q_len; i++) {
			for (uint32_t d = 0; d < p->a.head_dim; d++) {
				float got = p->got[i * p->a.o_row + d];
				float want = p->want[i * p->a.o_row + d];

				if (i == spoiled)
					assert_true(isnan(got) && isnan(want));
				else
					assert_true(fabsf(got - want) <= 1e-4f);
			}
		}
	}
}

static void a_bad_query_is_hidden_or_spoils_others(void **state)
{
	struct problem p;

	problem_init(&p, 1, 1, 70, 70, 12, false);
	p.q[33 * 12 + 5] = NAN;
	check_spoiled(&p, 33);
	for (uint32_t d = 0; d < 12; d++)
		p.q[33 * 12 + d] =
			p.k[d + 12 * 40] > 0 ? INFINITY : -INFINITY; /* a logit of +inf */
	check_spoiled(&p, 33);
	problem_fini(&p);
}

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

/* With v 1 at one key and 0 at the others, the reference's output is that key's weight. */
static void check_weights(uint32_t q_len, uint32_t kv_len, uint32_t dim, bool causal,
			  uint32_t window)
{
	float got[300], want[300];
	struct problem p;

	problem_init(&p, 2, 1, q_len, kv_len, dim, causal);
	p.a.window = window;
	for (uint32_t i = 0; i < q_len; i++) {
		for (uint32_t j = 0; j < kv_len; j++) {
			memset(p.v, 0, p.k_size * sizeof(float));
			p.v[j * dim] = 1;
			reference(&p);
			want[j] = p.want[p.a.o_head + i * dim];
		}
		for (const struct kernel *k = kernels; k < kernels + kernels_count; k++) {
			if (k->kind != KERNEL_weights || !kernels_supported(k))
				continue;
			memset(got, 0xff, sizeof(got));
			assert_int_equal(k->run.weights(&p.a, 1, i, got), 0);
			for (uint32_t j = 0; j < kv_len; j++)
				if (!(fabsf(got[j] - want[j]) <= 4e-5f))
					fail_msg("%s q%u kv%u D%u row %u key %u: %g, not %g",
						 isa_name(k->isa), q_len, kv_len, dim, i, j,
						 (double)got[j], (double)want[j]);
			assert_true(isnan(got[kv_len])); /* untouched beyond the row */
			assert_int_equal(k->run.weights(&p.a, 2, i, got), -EINVAL);
			assert_int_equal(k->run.weights(&p.a, 1, q_len, got), -EINVAL);
		}
	}
	problem_fini(&p);
}

static void weights_of_one_query_are_wrong(void **state)
{
	static const uint32_t kv[] = {1, 3, 15, 16, 17, 33, 50}, dims[] = {1, 8, 15, 33, 64};

	for (size_t i = 0; i < COUNT(kv); i++) {
		for (size_t d = 0; d < COUNT(dims); d++) {
			check_weights(2, kv[i], dims[d], false, 0);
			check_weights(5, kv[i], dims[d], true, 0);
			check_weights(5, kv[i], dims[d], true, 7);
		}
	}
}

static void exponentials_lose_precision(void **state)
{
	enum { N = 1 << 14 };
	static float x[N], y[N];

	for (const struct kernel *k = kernels; k < kernels + kernels_count; k++) {
		if (k->kind != KERNEL_exp2 || !kernels_supported(k))
			continue;
		for (int i = 0; i < N; i++)
			x[i] = -126.0f * (float)i / (N - 1) * (i % 3 ? 1 : 1.0f / 128);
		k->run.exp2(x, y, N);
		for (int i = 0; i < N; i++) {
			double want = exp2(x[i]);
			double ulp = nextafterf((float)want, INFINITY) - (double)(float)want;

			if (!(fabs(y[i] - want) <= 3 * ulp))
				fail_msg("%s: 2^%a = %a, not %a", isa_name(k->isa), x[i], y[i],
					 want);
		}
		x[0] = -INFINITY;
		x[1] = -1e30f;
		x[2] = NAN;
		k->run.exp2(x, y, 3);
		assert_true(y[0] == 0 && y[1] == 0 && isnan(y[2]));
	}
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
		cmocka_unit_test(wrong_answer_at_some_head_dim),
		cmocka_unit_test(wrong_answer_at_some_sequence_length),
		cmocka_unit_test(wrong_answer_when_query_and_key_lengths_differ),
		cmocka_unit_test(wrong_head_read_with_shared_keys),
		cmocka_unit_test(wrong_answer_with_a_block_size_of_ones_own),
		cmocka_unit_test(a_sliding_window_slides_elsewhere),
		cmocka_unit_test(wrong_answer_with_interleaved_heads),
		cmocka_unit_test(overflow_with_large_logits),
		cmocka_unit_test(rows_that_see_nothing_are_not_zero),
		cmocka_unit_test(keys_of_minus_infinity_still_weigh),
		cmocka_unit_test(a_bad_query_is_hidden_or_spoils_others),
		cmocka_unit_test(the_saved_sum_of_exponentials_is_wrong),
		cmocka_unit_test(a_bad_shape_is_accepted),
		cmocka_unit_test(flash_scratch_grows_with_the_sequence),
		cmocka_unit_test(weights_of_one_query_are_wrong),
		cmocka_unit_test(exponentials_lose_precision),
		cmocka_unit_test(flops_are_miscounted),
		cmocka_unit_test(the_wrong_instruction_set_is_chosen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
