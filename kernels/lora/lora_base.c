/* SPDX-License-Identifier: Apache-2.0 */
/* lora_base.c: what all variants of base LoRA share. */
#include "kernels/lora/lora_base.h"

#include <errno.h>
#include <string.h>

static size_t padded(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static size_t padded_rank(const struct lora_base *l)
{
	return padded(l->rank, 4);
}

static size_t padded_dim(const struct lora_base *l, bool b)
{
	return padded(b ? l->dim_out : l->dim_in, LORA_BASE_BLOCK);
}

int lora_base_check(const struct lora_base *l)
{
	if (!l || !l->weights || !l->dim_in || !l->dim_out || !l->layers)
		return -EINVAL;
	return l->rank >= 1 && l->rank <= LORA_BASE_MAX_RANK ? 0 : -EINVAL;
}

int lora_base_check_forward(const struct lora_base *l, uint32_t layer, const float *x, size_t x_row,
			    const float *y, size_t y_row, uint32_t rows)
{
	if (lora_base_check(l) || layer >= l->layers || !x || !y)
		return -EINVAL;
	return rows > 1 && (x_row < l->dim_in || y_row < l->dim_out) ? -EINVAL : 0;
}

int lora_base_check_gradient(const struct lora_base *l, uint32_t layer,
			     const struct lora_base_signal *s, const struct lora_base_gradient *g)
{
	if (!s || !g || !g->weights || !g->count)
		return -EINVAL;
	return lora_base_check_forward(l, layer, s->x, s->x_row, s->grad_y, s->y_row, s->rows);
}

static int check_coded(const struct lora_base_coded *l, uint32_t layer, const float *x,
		       const float *y)
{
	const struct quant_matrix *a, *b;

	if (!l || !l->a || !l->b || layer >= l->layers || !x || !y)
		return -EINVAL;
	if (l->rank < 1 || l->rank > LORA_BASE_MAX_RANK)
		return -EINVAL;
	a = &l->a[layer];
	b = &l->b[layer];
	if (a->rows != l->rank || b->rows != l->rank)
		return -EINVAL;
	return a->cols == l->dim_in && b->cols == l->dim_out ? 0 : -EINVAL;
}

/* What all variants of the coded layers do, with the products of their instruction set. */
int lora_base_run_coded(const struct lora_base_coded *l, uint32_t layer, const float *x, float *y,
			quant_matvec_fn *matvec, quant_expand_fn *expand)
{
	float h[LORA_BASE_MAX_RANK];
	int err = check_coded(l, layer, x, y);

	err = err ? err : matvec(&l->a[layer], x, h);
	if (err)
		return err;
	for (uint32_t r = 0; r < l->rank; r++)
		h[r] *= l->scale;
	return expand(&l->b[layer], h, y);
}

size_t lora_base_floats(const struct lora_base *l)
{
	return l->layers * padded_rank(l) * (padded_dim(l, false) + padded_dim(l, true));
}

size_t lora_base_offset(const struct lora_base *l, uint32_t layer, bool b)
{
	size_t a_floats = padded_rank(l) * padded_dim(l, false);

	return layer * (a_floats + padded_rank(l) * padded_dim(l, true)) + (b ? a_floats : 0);
}

size_t lora_base_index(const struct lora_base *l, uint32_t layer, bool b, uint32_t r, uint32_t i)
{
	const size_t group = r / LORA_BASE_GROUP * LORA_BASE_GROUP;
	const size_t left = padded_rank(l) - group;
	const size_t width = left < LORA_BASE_GROUP ? left : LORA_BASE_GROUP;
	size_t at = lora_base_offset(l, layer, b) + group * padded_dim(l, b);

	at += i / LORA_BASE_BLOCK * width * LORA_BASE_BLOCK + (r - group) * LORA_BASE_BLOCK;
	return at + i % LORA_BASE_BLOCK;
}

int lora_base_set(const struct lora_base *l, uint32_t layer, const float *a, const float *b)
{
	if (lora_base_check(l) || layer >= l->layers || !a || !b)
		return -EINVAL;
	memset(l->weights + lora_base_offset(l, layer, false), 0,
	       lora_base_offset(l, 1, false) * sizeof(*l->weights));
	for (uint32_t r = 0; r < l->rank; r++) {
		for (uint32_t i = 0; i < l->dim_in; i++)
			l->weights[lora_base_index(l, layer, false, r, i)] =
				a[(size_t)r * l->dim_in + i];
		for (uint32_t i = 0; i < l->dim_out; i++)
			l->weights[lora_base_index(l, layer, true, r, i)] =
				b[(size_t)r * l->dim_out + i];
	}
	return 0;
}

int lora_base_get(const struct lora_base *l, uint32_t layer, float *a, float *b)
{
	if (lora_base_check(l) || layer >= l->layers || !a || !b)
		return -EINVAL;
	for (uint32_t r = 0; r < l->rank; r++) {
		for (uint32_t i = 0; i < l->dim_in; i++)
			a[(size_t)r * l->dim_in + i] =
				l->weights[lora_base_index(l, layer, false, r, i)];
		for (uint32_t i = 0; i < l->dim_out; i++)
			b[(size_t)r * l->dim_out + i] =
				l->weights[lora_base_index(l, layer, true, r, i)];
	}
	return 0;
}

void lora_base_clear(const struct lora_base *l, struct lora_base_gradient *g)
{
	memset(g->weights, 0, lora_base_floats(l) * sizeof(*g->weights));
	memset(g->count, 0, l->layers * sizeof(*g->count));
}

void lora_base_apply(struct lora_base *l, struct lora_base_gradient *g, float rate)
{
	const size_t n = lora_base_offset(l, 1, false);

	for (uint32_t layer = 0; layer < l->layers; layer++) {
		float *w = l->weights + layer * n, *d = g->weights + layer * n;
		float step;

		if (!g->count[layer])
			continue;
		step = rate / (float)g->count[layer];
		for (size_t i = 0; i < n; i++) {
			w[i] -= step * d[i];
			d[i] = 0;
		}
		g->count[layer] = 0;
	}
}

uint64_t lora_base_forward_flops(const struct lora_base *l)
{
	return 2ull * l->rank * ((uint64_t)l->dim_in + l->dim_out);
}

uint64_t lora_base_forward_bytes(const struct lora_base *l)
{
	return sizeof(float) * ((l->rank + 1ull) * l->dim_in + (l->rank + 2ull) * l->dim_out);
}

uint64_t lora_base_gradient_flops(const struct lora_base *l)
{
	return 4ull * l->rank * ((uint64_t)l->dim_in + l->dim_out);
}

uint64_t lora_base_gradient_bytes(const struct lora_base *l)
{
	return sizeof(float) * (3ull * l->rank + 1) * ((uint64_t)l->dim_in + l->dim_out);
}
