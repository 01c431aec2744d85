/* SPDX-License-Identifier: Apache-2.0 */
/* kv.h: how keys and values are stored: f32, bf16 or int8 rows, in one piece or in pages. */
#ifndef KERNELS_KV_H
#define KERNELS_KV_H

#include <stddef.h>
#include <stdint.h>

/*
 * What one number becomes, x the one given:
 *   f32   itself
 *   bf16  rounded to nearest, ties to even: |error| <= 2^-8 |x| (subnormals: 2^-134); inf and NaN
 *         stay what they are
 *   int8  round(x / s), s = max|x| of the row / 127, kept beside the row: |error| <= s / 2, that is
 *         0.4 % of the row's largest. A row that is not finite has a scale of NaN, and so spoils
 *         every query that sees it. A row whose largest is below 2^-120 is kept as zeros.
 */
enum kv_type { KV_F32, KV_BF16, KV_I8, KV_TYPES };

/*
 * Where the rows are; all strides in bytes, so that the scales of int8 may lie in the pages too.
 * Token t of KV head g is row t % page_tokens of page pages[t / page_tokens], at
 *   k + g * head_bytes + pages[...] * page_bytes + (t % page_tokens) * row_bytes
 * and v likewise; its scales are the floats at
 *   k_scale + g * scale_head_bytes + pages[...] * page_bytes, element t % page_tokens.
 * pages NULL: one page (page 0) holds all. Rows are aligned to their element and no more.
 */
struct kv_view {
	enum kv_type type;
	const void *k, *v;
	const float *k_scale, *v_scale; /* int8 only */
	size_t head_bytes, row_bytes, scale_head_bytes;
	const uint32_t *pages;
	uint32_t page_tokens;
	size_t page_bytes;
};

/* 4, 2 or 1; 0 for an unknown type. And "f32", "bf16", "int8". */
size_t kv_element_bytes(enum kv_type type);
const char *kv_type_name(enum kv_type type);

/* n numbers to and from storage; *scale is written, and read, by int8 only. */
void kv_store_row(enum kv_type type, const float *x, uint32_t n, void *row, float *scale);
void kv_load_row(enum kv_type type, const void *row, float scale, uint32_t n, float *x);

/* Row t of KV head g of keys (or values) in a view, and its scale (1 when not int8). */
const void *kv_key(const struct kv_view *kv, uint32_t g, uint32_t t, float *scale);
const void *kv_value(const struct kv_view *kv, uint32_t g, uint32_t t, float *scale);

#endif
