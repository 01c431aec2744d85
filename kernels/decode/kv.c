/* SPDX-License-Identifier: Apache-2.0 */
/* kv.c: rows of keys and values to and from their stored form. */
#include "kernels/decode/kv.h"

#include <math.h>
#include <string.h>

size_t kv_element_bytes(enum kv_type type)
{
	return type == KV_F32 ? 4 : type == KV_BF16 ? 2 : type == KV_I8 ? 1 : 0;
}

const char *kv_type_name(enum kv_type type)
{
	return type == KV_F32 ? "f32" : type == KV_BF16 ? "bf16" : type == KV_I8 ? "int8" : "?";
}

static uint16_t bf16_round(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof(u));
	if ((u & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(u >> 16 | 0x40); /* a NaN stays one, whatever its low bits */
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static void store_i8(const float *x, uint32_t n, int8_t *row, float *scale)
{
	float max = 0, bad = 0, inverse;

	for (uint32_t i = 0; i < n; i++) {
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
		bad += x[i] * 0; /* NaN when any is not finite */
	}
	*scale = bad == 0 ? max / 127 : NAN;
	/* Adding 1.5 * 2^23 rounds to nearest in the low bits, with no call and a loop of vectors.
	 */
	inverse = bad == 0 && max >= 0x1p-120f ? 127 / max : 0;
	for (uint32_t i = 0; i < n; i++) {
		float f = (bad == 0 ? x[i] * inverse : 0) + 0x1.8p23f;
		int32_t u;

		memcpy(&u, &f, sizeof(u));
		row[i] = (int8_t)(u - 0x4b400000);
	}
}

void kv_store_row(enum kv_type type, const float *x, uint32_t n, void *row, float *scale)
{
	uint16_t *half = row;

	if (type == KV_F32)
		memcpy(row, x, n * sizeof(*x));
	else if (type == KV_I8)
		store_i8(x, n, row, scale);
	else
		for (uint32_t i = 0; i < n; i++)
			half[i] = bf16_round(x[i]);
}

void kv_load_row(enum kv_type type, const void *row, float scale, uint32_t n, float *x)
{
	const uint16_t *half = row;
	const int8_t *code = row;

	if (type == KV_F32) {
		memcpy(x, row, n * sizeof(*x));
	} else if (type == KV_BF16) {
		for (uint32_t i = 0; i < n; i++) {
			uint32_t u = (uint32_t)half[i] << 16;

			memcpy(x + i, &u, sizeof(u));
		}
	} else {
		for (uint32_t i = 0; i < n; i++)
			x[i] = (float)code[i] * scale;
	}
}

static const void *row_at(const struct kv_view *kv, const void *base, const float *scales,
			  uint32_t g, uint32_t t, float *scale)
{
	uint32_t row = kv->pages ? t % kv->page_tokens : t;
	size_t page = kv->pages ? kv->pages[t / kv->page_tokens] * kv->page_bytes : 0;

	*scale = 1;
	if (kv->type == KV_I8)
		memcpy(scale, (const char *)(scales + row) + g * kv->scale_head_bytes + page,
		       sizeof(*scale));
	return (const char *)base + g * kv->head_bytes + page + row * kv->row_bytes;
}

const void *kv_key(const struct kv_view *kv, uint32_t g, uint32_t t, float *scale)
{
	return row_at(kv, kv->k, kv->k_scale, g, t, scale);
}

const void *kv_value(const struct kv_view *kv, uint32_t g, uint32_t t, float *scale)
{
	return row_at(kv, kv->v, kv->v_scale, g, t, scale);
}
