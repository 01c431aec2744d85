/* SPDX-License-Identifier: Apache-2.0 */
/* lora.c: what all variants of micro-LoRA share, and the scalar and reference ones. */
#include "kernels/lora/lora.h"

#include <errno.h>
#include <string.h>

#include "kernels/scalar_only.h"

void lora_clear(const struct lora *l, struct lora_gradient *g)
{
	memset(g->a, 0, (size_t)l->rank * l->dim_in * sizeof(*g->a));
	memset(g->b, 0, (size_t)l->rank * l->dim_out * sizeof(*g->b));
	g->count = 0;
}

void lora_apply(struct lora *l, struct lora_gradient *g, float rate)
{
	float step;

	if (!g->count)
		return;
	step = rate / (float)g->count;
	for (size_t i = 0; i < (size_t)l->rank * l->dim_in; i++)
		l->a[i] -= step * g->a[i];
	for (size_t i = 0; i < (size_t)l->rank * l->dim_out; i++)
		l->b[i] -= step * g->b[i];
	lora_clear(l, g);
}

#define DEFINE_LORA(SUFFIX, TYPE, ATTRIBUTE)                                                \
	ATTRIBUTE static TYPE dot_##SUFFIX(const float *x, const float *y, uint32_t n)      \
	{                                                                                   \
		TYPE s = 0;                                                                 \
                                                                                            \
		for (uint32_t i = 0; i < n; i++)                                            \
			s += (TYPE)x[i] * y[i];                                             \
		return s;                                                                   \
	}                                                                                   \
	ATTRIBUTE int lora_forward_##SUFFIX(const struct lora *l, const float *x, float *y) \
	{                                                                                   \
		if (lora_check(l) || !x || !y)                                              \
			return -EINVAL;                                                     \
		for (uint32_t r = 0; r < l->rank; r++) {                                    \
			const float *b = l->b + (size_t)r * l->dim_out;                     \
			TYPE h = dot_##SUFFIX(l->a + (size_t)r * l->dim_in, x, l->dim_in);  \
                                                                                            \
			h *= l->scale;                                                      \
			for (uint32_t i = 0; i < l->dim_out; i++)                           \
				y[i] = (float)(y[i] + h * b[i]);                            \
		}                                                                           \
		return 0;                                                                   \
	}                                                                                   \
	ATTRIBUTE int lora_update_##SUFFIX(const struct lora *l, const float *x,            \
					   const float *grad_y, float weight,               \
					   struct lora_gradient *g)                         \
	{                                                                                   \
		if (lora_check(l) || !x || !grad_y || !g || !g->a || !g->b)                 \
			return -EINVAL;                                                     \
		for (uint32_t r = 0; r < l->rank; r++) {                                    \
			const float *a = l->a + (size_t)r * l->dim_in;                      \
			const float *b = l->b + (size_t)r * l->dim_out;                     \
			float *ga = g->a + (size_t)r * l->dim_in;                           \
			float *gb = g->b + (size_t)r * l->dim_out;                          \
			TYPE w = (TYPE)weight * l->scale;                                   \
			TYPE h = w * dot_##SUFFIX(a, x, l->dim_in);                         \
			TYPE e = w * dot_##SUFFIX(b, grad_y, l->dim_out);                   \
                                                                                            \
			for (uint32_t i = 0; i < l->dim_out; i++)                           \
				gb[i] = (float)(gb[i] + h * grad_y[i]);                     \
			for (uint32_t i = 0; i < l->dim_in; i++)                            \
				ga[i] = (float)(ga[i] + e * x[i]);                          \
		}                                                                           \
		g->count++;                                                                 \
		return 0;                                                                   \
	}

DEFINE_LORA(ref, double, )
DEFINE_LORA(scalar, float, SCALAR_ONLY)

int lora_forward_batch_scalar(const struct lora *l, const float *x, size_t x_row, float *y,
			      size_t y_row, uint32_t rows)
{
	if (lora_check(l) || !x || !y)
		return -EINVAL;
	if (rows > 1 && (x_row < l->dim_in || y_row < l->dim_out))
		return -EINVAL;
	for (uint32_t i = 0; i < rows; i++)
		lora_forward_scalar(l, x + i * x_row, y + i * y_row);
	return 0;
}

int lora_update_batch_scalar(const struct lora *l, const float *x, size_t x_row,
			     const float *grad_y, size_t grad_row, const float *weight,
			     uint32_t rows, struct lora_gradient *g)
{
	if (lora_check(l) || !x || !grad_y || !weight || !g || !g->a || !g->b)
		return -EINVAL;
	if (rows > 1 && (x_row < l->dim_in || grad_row < l->dim_out))
		return -EINVAL;
	for (uint32_t i = 0; i < rows; i++)
		lora_update_scalar(l, x + i * x_row, grad_y + i * grad_row, weight[i], g);
	return 0;
}
