/* SPDX-License-Identifier: Apache-2.0 */
/* decode.c: what all variants of decode share: checks, sizes, work counted. */
#include "kernels/decode/decode.h"
#include "kernels/decode/decode_state.h"

#include <errno.h>
#include <math.h>

static int check_store(const struct kv_view *kv)
{
	size_t size = kv_element_bytes(kv->type);

	if (!size || !kv->k || !kv->v || kv->row_bytes % size || kv->head_bytes % size)
		return -EINVAL;
	if (kv->type == KV_I8 && (!kv->k_scale || !kv->v_scale || kv->scale_head_bytes % 4))
		return -EINVAL;
	if (kv->pages && (!kv->page_tokens || kv->page_bytes % size))
		return -EINVAL;
	if (kv->pages && kv->type == KV_I8 && kv->page_bytes % sizeof(float))
		return -EINVAL;
	return 0;
}

int decode_check(const struct decode *d)
{
	if (!d || !d->q || !d->out)
		return -EINVAL;
	if (!d->heads || !d->kv_heads || d->heads % d->kv_heads)
		return -EINVAL;
	if (!d->q_len || !d->kv_len || d->q_len > DECODE_MAX_ROWS || d->kv_len > INT32_MAX / 2)
		return -EINVAL;
	if ((uint64_t)d->heads / d->kv_heads * d->q_len > DECODE_MAX_ROWS)
		return -EINVAL;
	if (!d->head_dim || d->head_dim > DECODE_MAX_DIM || d->threads > DECODE_MAX_THREADS)
		return -EINVAL;
	return isfinite(d->scale) ? check_store(&d->kv) : -EINVAL;
}

size_t decode_scratch(const struct decode *d)
{
	return decode_parts(d) * decode_state_bytes(d);
}

void decode_set_packed(struct decode *d, enum kv_type type, uint32_t heads, uint32_t kv_heads,
		       uint32_t q_len, uint32_t kv_len, uint32_t head_dim)
{
	size_t row = head_dim * kv_element_bytes(type);

	*d = (struct decode){
		.q_head = (size_t)q_len * head_dim,
		.q_row = head_dim,
		.o_head = (size_t)q_len * head_dim,
		.o_row = head_dim,
		.heads = heads,
		.kv_heads = kv_heads,
		.q_len = q_len,
		.kv_len = kv_len,
		.head_dim = head_dim,
		.scale = head_dim ? 1.0f / sqrtf((float)head_dim) : 0,
		.kv = {.type = type,
		       .row_bytes = row,
		       .head_bytes = kv_len * row,
		       .scale_head_bytes = kv_len * sizeof(float)},
	};
}

static uint32_t clamp(int64_t x, uint32_t max)
{
	return x < 0 ? 0 : x > max ? max : (uint32_t)x;
}

void decode_visible(const struct decode *d, uint32_t r, uint32_t *first, uint32_t *end)
{
	int64_t next = (int64_t)r / (d->heads / d->kv_heads) + 1 + d->kv_len - d->q_len;

	*end = d->causal ? clamp(next, d->kv_len) : d->kv_len;
	*first = d->window ? clamp(next - d->window, *end) : 0;
}

uint64_t decode_flops(const struct decode *d)
{
	uint64_t pairs = 0;

	for (uint32_t i = 0; i < d->q_len; i++) {
		uint32_t first, end;

		decode_visible(d, i * (d->heads / d->kv_heads), &first, &end);
		pairs += end - first;
	}
	return 4 * pairs * d->head_dim * d->heads;
}

uint64_t decode_bytes(const struct decode *d)
{
	uint64_t row = d->head_dim * kv_element_bytes(d->kv.type) +
		       (d->kv.type == KV_I8 ? sizeof(float) : 0);

	return 2 * row * (d->kv_len - decode_first_key(d)) * d->kv_heads +
	       2 * (uint64_t)d->q_len * d->heads * d->head_dim * sizeof(float);
}
