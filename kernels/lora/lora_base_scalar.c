/* SPDX-License-Identifier: Apache-2.0 */
/* lora_base_scalar.c: base LoRA, reference in double precision and plain scalar. */
#include "kernels/lora/lora_base.h"

#include <errno.h>

#include "kernels/scalar_only.h"

/* Ranks worked on together from rank r on. */
static uint32_t group_width(uint32_t rank, uint32_t r)
{
	return rank - r > 4 ? LORA_BASE_GROUP : 4;
}

/*
 * The two loops, over one matrix m of `rank` x n in its layout, ranks beyond `rank` not touched:
 * project, h[r] = m[r] . x, and expand, y += sum over r of h[r] m[r]. A gradient is the outer
 * product, g[r] += h[r] x.
 */
#define DEFINE_LORA_BASE(SUFFIX, TYPE, ATTRIBUTE)                                                  \
	ATTRIBUTE static void project_##SUFFIX(const float *m, uint32_t rank, const float *x,      \
					       uint32_t n, TYPE *h)                                \
	{                                                                                          \
		for (uint32_t r = 0; r < rank; r += LORA_BASE_GROUP) {                             \
			const uint32_t width = group_width(rank, r);                               \
                                                                                                   \
			for (uint32_t j = 0; j < width && r + j < rank; j++)                       \
				h[r + j] = 0;                                                      \
			for (uint32_t i = 0; i < n; i += LORA_BASE_BLOCK) {                        \
				uint32_t k = n - i < LORA_BASE_BLOCK ? n - i : LORA_BASE_BLOCK;    \
                                                                                                   \
				for (uint32_t j = 0; j < width && r + j < rank; j++)               \
					for (uint32_t c = 0; c < k; c++)                           \
						h[r + j] += (TYPE)m[j * LORA_BASE_BLOCK + c] *     \
							    x[i + c];                              \
				m += (size_t)width * LORA_BASE_BLOCK;                              \
			}                                                                          \
		}                                                                                  \
	}                                                                                          \
	ATTRIBUTE static void expand_##SUFFIX(const float *m, uint32_t rank, const TYPE *h,        \
					      float *y, uint32_t n)                                \
	{                                                                                          \
		for (uint32_t r = 0; r < rank; r += LORA_BASE_GROUP) {                             \
			const uint32_t width = group_width(rank, r);                               \
                                                                                                   \
			for (uint32_t i = 0; i < n; i++) {                                         \
				const float *w = m +                                               \
						 (i / LORA_BASE_BLOCK * width) * LORA_BASE_BLOCK + \
						 i % LORA_BASE_BLOCK;                              \
				TYPE s = y[i];                                                     \
                                                                                                   \
				for (uint32_t j = 0; j < width && r + j < rank; j++)               \
					s += h[r + j] * w[j * LORA_BASE_BLOCK];                    \
				y[i] = (float)s;                                                   \
			}                                                                          \
			m += (size_t)width * ((n + LORA_BASE_BLOCK - 1) / LORA_BASE_BLOCK) *       \
			     LORA_BASE_BLOCK;                                                      \
		}                                                                                  \
	}                                                                                          \
	ATTRIBUTE static void outer_##SUFFIX(float *g, uint32_t rank, const TYPE *h,               \
					     const float *x, uint32_t n)                           \
	{                                                                                          \
		for (uint32_t r = 0; r < rank; r += LORA_BASE_GROUP) {                             \
			const uint32_t width = group_width(rank, r);                               \
                                                                                                   \
			for (uint32_t i = 0; i < n; i += LORA_BASE_BLOCK) {                        \
				uint32_t k = n - i < LORA_BASE_BLOCK ? n - i : LORA_BASE_BLOCK;    \
                                                                                                   \
				for (uint32_t j = 0; j < width && r + j < rank; j++)               \
					for (uint32_t c = 0; c < k; c++) {                         \
						float *to = g + j * LORA_BASE_BLOCK + c;           \
                                                                                                   \
						*to = (float)(*to + h[r + j] * x[i + c]);          \
					}                                                          \
				g += (size_t)width * LORA_BASE_BLOCK;                              \
			}                                                                          \
		}                                                                                  \
	}                                                                                          \
	ATTRIBUTE int lora_base_forward_##SUFFIX(const struct lora_base *l, uint32_t layer,        \
						 const float *x, size_t x_row, float *y,           \
						 size_t y_row, uint32_t rows)                      \
	{                                                                                          \
		const float *a, *b;                                                                \
                                                                                                   \
		if (lora_base_check_forward(l, layer, x, x_row, y, y_row, rows))                   \
			return -EINVAL;                                                            \
		a = l->weights + lora_base_offset(l, layer, false);                                \
		b = l->weights + lora_base_offset(l, layer, true);                                 \
		for (uint32_t i = 0; i < rows; i++) {                                              \
			TYPE h[LORA_BASE_MAX_RANK];                                                \
                                                                                                   \
			project_##SUFFIX(a, l->rank, x + i * x_row, l->dim_in, h);                 \
			for (uint32_t r = 0; r < l->rank; r++)                                     \
				h[r] *= l->scale;                                                  \
			expand_##SUFFIX(b, l->rank, h, y + i * y_row, l->dim_out);                 \
		}                                                                                  \
		return 0;                                                                          \
	}                                                                                          \
	ATTRIBUTE int lora_base_gradient_##SUFFIX(const struct lora_base *l, uint32_t layer,       \
						  const struct lora_base_signal *s,                \
						  struct lora_base_gradient *g)                    \
	{                                                                                          \
		size_t at_a, at_b;                                                                 \
                                                                                                   \
		if (lora_base_check_gradient(l, layer, s, g))                                      \
			return -EINVAL;                                                            \
		at_a = lora_base_offset(l, layer, false);                                          \
		at_b = lora_base_offset(l, layer, true);                                           \
		for (uint32_t i = 0; i < s->rows; i++) {                                           \
			const float *x = s->x + i * s->x_row, *grad = s->grad_y + i * s->y_row;    \
			TYPE h[LORA_BASE_MAX_RANK], e[LORA_BASE_MAX_RANK];                         \
                                                                                                   \
			project_##SUFFIX(l->weights + at_a, l->rank, x, l->dim_in, h);             \
			project_##SUFFIX(l->weights + at_b, l->rank, grad, l->dim_out, e);         \
			for (uint32_t r = 0; r < l->rank; r++) {                                   \
				h[r] *= (TYPE)s->weight * l->scale;                                \
				e[r] *= l->scale;                                                  \
			}                                                                          \
			if (s->grad_x)                                                             \
				expand_##SUFFIX(l->weights + at_a, l->rank, e,                     \
						s->grad_x + i * s->x_row, l->dim_in);              \
			for (uint32_t r = 0; r < l->rank; r++)                                     \
				e[r] *= s->weight;                                                 \
			outer_##SUFFIX(g->weights + at_b, l->rank, h, grad, l->dim_out);           \
			outer_##SUFFIX(g->weights + at_a, l->rank, e, x, l->dim_in);               \
		}                                                                                  \
		g->count[layer] += s->rows;                                                        \
		return 0;                                                                          \
	}                                                                                          \
	ATTRIBUTE int lora_base_merge_##SUFFIX(const struct lora_base *l, uint32_t layer,          \
					       float times, float *w, size_t w_row)                \
	{                                                                                          \
		if (lora_base_check(l) || layer >= l->layers || !w || w_row < l->dim_in)           \
			return -EINVAL;                                                            \
		for (uint32_t o = 0; o < l->dim_out; o++) {                                        \
			TYPE h[LORA_BASE_MAX_RANK];                                                \
                                                                                                   \
			for (uint32_t r = 0; r < l->rank; r++)                                     \
				h[r] = (TYPE)times * l->scale *                                    \
				       l->weights[lora_base_index(l, layer, true, r, o)];          \
			expand_##SUFFIX(l->weights + lora_base_offset(l, layer, false), l->rank,   \
					h, w + o * w_row, l->dim_in);                              \
		}                                                                                  \
		return 0;                                                                          \
	}

DEFINE_LORA_BASE(ref, double, )
DEFINE_LORA_BASE(scalar, float, SCALAR_ONLY)

int lora_base_coded_ref(const struct lora_base_coded *l, uint32_t layer, const float *x, float *y)
{
	return lora_base_run_coded(l, layer, x, y, quant_matvec_ref, quant_expand_ref);
}

int lora_base_coded_scalar(const struct lora_base_coded *l, uint32_t layer, const float *x,
			   float *y)
{
	return lora_base_run_coded(l, layer, x, y, quant_matvec_scalar, quant_expand_scalar);
}
