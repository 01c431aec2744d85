/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lora_bf16_loops.h: bf16 layers over the vec_* primitives; included by lora_bf16_<isa>.c, which
 * gives split(): of LANES words, the low and the high halves as floats.
 */
#include <errno.h>
#include <string.h>

#define LOOP  static inline __attribute__((always_inline))
#define LANES ((size_t)VEC_LANES)

enum { WORDS = LORA_BF16_BLOCK / 2, PARTS = WORDS / VEC_LANES };

/* s[r] += m[r] . x over a block, for `ranks` rows of WORDS words. */
LOOP void project_block(const int ranks, const uint32_t *m, const float *x, vec *s)
{
#pragma GCC unroll 4
	for (size_t v = 0; v < PARTS; v++) {
		const vec xl = vec_loadu(x + v * LANES), xh = vec_loadu(x + WORDS + v * LANES);

#pragma GCC unroll 8
		for (int r = 0; r < ranks; r++) {
			vec low, high;

			split(m + (size_t)r * WORDS + v * LANES, &low, &high);
			s[r] = vec_fma(low, xl, s[r]);
			s[r] = vec_fma(high, xh, s[r]);
		}
	}
}

/* The last block is worked on in a copy, whose missing columns are 0. */
LOOP void project(const int ranks, const uint32_t *m, const float *x, uint32_t n, float *h)
{
	vec s[LORA_BASE_GROUP];
	uint32_t i = 0;

#pragma GCC unroll 8
	for (int r = 0; r < ranks; r++)
		s[r] = vec_zero();
	for (; i + LORA_BF16_BLOCK <= n; i += LORA_BF16_BLOCK, m += (size_t)ranks * WORDS)
		project_block(ranks, m, x + i, s);
	if (i < n) {
		float last[LORA_BF16_BLOCK] = {0};

		memcpy(last, x + i, (n - i) * sizeof(*x));
		project_block(ranks, m, last, s);
	}
#pragma GCC unroll 8
	for (int r = 0; r < ranks; r++)
		h[r] = vec_sum(s[r]);
}

LOOP void expand_block(const int ranks, const uint32_t *m, const vec *f, float *y)
{
#pragma GCC unroll 4
	for (size_t v = 0; v < PARTS; v++) {
		vec yl = vec_loadu(y + v * LANES), yh = vec_loadu(y + WORDS + v * LANES);

#pragma GCC unroll 8
		for (int r = 0; r < ranks; r++) {
			vec low, high;

			split(m + (size_t)r * WORDS + v * LANES, &low, &high);
			yl = vec_fma(f[r], low, yl);
			yh = vec_fma(f[r], high, yh);
		}
		vec_storeu(y + v * LANES, yl);
		vec_storeu(y + WORDS + v * LANES, yh);
	}
}

LOOP void expand(const int ranks, const uint32_t *m, const float *h, float *y, uint32_t n)
{
	vec f[LORA_BASE_GROUP];
	uint32_t i = 0;

#pragma GCC unroll 8
	for (int r = 0; r < ranks; r++)
		f[r] = vec_splat(h[r]);
	for (; i + LORA_BF16_BLOCK <= n; i += LORA_BF16_BLOCK, m += (size_t)ranks * WORDS)
		expand_block(ranks, m, f, y + i);
	if (i < n) {
		float last[LORA_BF16_BLOCK] = {0};

		memcpy(last, y + i, (n - i) * sizeof(*y));
		expand_block(ranks, m, f, last);
		memcpy(y + i, last, (n - i) * sizeof(*y));
	}
}

LOOP int bf16_forward(const struct lora_bf16 *l, uint32_t layer, const float *x, float *y)
{
	float h[LORA_BASE_MAX_RANK];
	size_t a, b;

	if (lora_bf16_check(l, layer, x, y))
		return -EINVAL;
	a = lora_bf16_offset(l, layer, false);
	b = lora_bf16_offset(l, layer, true);
	for (uint32_t r = 0; r < l->rank; r += LORA_BASE_GROUP) {
		const size_t blocks_in = (l->dim_in + LORA_BF16_BLOCK - 1ul) / LORA_BF16_BLOCK;

		if (l->rank - r > 4)
			project(LORA_BASE_GROUP, l->words + a, x, l->dim_in, h + r);
		else
			project(4, l->words + a, x, l->dim_in, h + r);
		a += LORA_BASE_GROUP * blocks_in * WORDS;
	}
	/* What padding ranks give is 0 times x: made 0 also for an infinite x. */
	for (uint32_t r = 0; r < LORA_BASE_MAX_RANK; r++)
		h[r] = r < l->rank ? h[r] * l->scale : 0;
	for (uint32_t r = 0; r < l->rank; r += LORA_BASE_GROUP) {
		const size_t blocks_out = (l->dim_out + LORA_BF16_BLOCK - 1ul) / LORA_BF16_BLOCK;

		if (l->rank - r > 4)
			expand(LORA_BASE_GROUP, l->words + b, h + r, y, l->dim_out);
		else
			expand(4, l->words + b, h + r, y, l->dim_out);
		b += LORA_BASE_GROUP * blocks_out * WORDS;
	}
	return 0;
}
