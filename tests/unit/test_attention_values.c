/* SPDX-License-Identifier: Apache-2.0 */
/* test_attention_values.c: attention with infinities, NaN, huge logits and nothing to see. */
#include "tests/lib/attention_problem.h"

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

/* Where the reference is finite so is every variant, and near; elsewhere none is. */
static void check_reach(struct problem *p)
{
	const struct attention *a = &p->a;

	problem_reserve(p);
	reference(p);
	FOR_ATTENTION_ROWS(k)
	{
		run_row(p, k);
		for (size_t i = 0; i < p->q_size; i++) {
			if (isfinite(p->want[i]) ? fabsf(p->got[i] - p->want[i]) <= 2e-4f
						 : !isfinite(p->got[i]))
				continue;
			fail_msg("%s %s: q%u kv%u D%u causal%d window%u: row %zu dim %zu: %g, "
				 "not %g",
				 k->name, isa_name(k->isa), a->q_len, a->kv_len, a->head_dim,
				 a->causal, a->window, i / a->head_dim, i % a->head_dim,
				 (double)p->got[i], (double)p->want[i]);
		}
	}
}

/* `step` keys apart, beginning with the last; of each in one dimension or all. */
static void spoil(struct problem *p, float *rows, uint32_t step)
{
	static const float bad[] = {NAN, INFINITY, -INFINITY};
	const uint32_t dim = p->a.head_dim;

	for (uint32_t n = 0; n * step < p->a.kv_len; n++) {
		float *row = rows + (p->a.kv_len - 1 - n * step) * dim;

		for (uint32_t d = 0; d < dim; d++)
			if (n % 2 || d == n % dim)
				row[d] = bad[n % 3];
	}
}

static void what_is_hidden_still_reaches_a_query(void **state)
{
	static const uint32_t shapes[][3] = {{100, 100, 20}, {70, 90, 8},    {90, 20, 17},
					     {150, 150, 64}, {33, 200, 130}, {1, 50, 16}};
	static const uint32_t windows[] = {0, 7, 40};
	static const uint32_t steps[] = {1, 3, 29};
	struct problem p;

	for (size_t i = 0; i < COUNT(shapes) * COUNT(windows) * COUNT(steps) * 4; i++) {
		const uint32_t *s = shapes[i / 4 / COUNT(windows) / COUNT(steps)];

		problem_init(&p, 2, 1, s[0], s[1], s[2], i % 2);
		p.a.window = windows[i / 4 % COUNT(windows)];
		p.a.block_k = i % 3 ? 24 : 0;
		spoil(&p, i / 2 % 2 ? p.v : p.k, steps[i / 4 / COUNT(windows) % COUNT(steps)]);
		check_reach(&p);
		problem_fini(&p);
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
		x[3] = __builtin_nanf("0x123"); /* its bits must not pass for an exponent */
		x[4] = -150;
		x[5] = -1000;
		for (int i = 6; i < N; i++)
			x[i] = -126 - 24.0f * (float)i / N;
		k->run.exp2(x, y, N);
		assert_true(y[0] == 0 && y[1] == 0 && isnan(y[2]) && isnan(y[3]));
		assert_true(y[4] == 0 && y[5] == 0);
		for (int i = 6; i < N; i++)
			assert_true(y[i] >= 0 && y[i] <= 0x1p-126f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overflow_with_large_logits),
		cmocka_unit_test(rows_that_see_nothing_are_not_zero),
		cmocka_unit_test(keys_of_minus_infinity_still_weigh),
		cmocka_unit_test(a_bad_query_is_hidden_or_spoils_others),
		cmocka_unit_test(what_is_hidden_still_reaches_a_query),
		cmocka_unit_test(exponentials_lose_precision),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
