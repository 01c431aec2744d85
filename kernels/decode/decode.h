/* SPDX-License-Identifier: Apache-2.0 */
/* decode.h: attention of one or a few new queries over a long store of keys and values. */
#ifndef KERNELS_DECODE_H
#define KERNELS_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/decode/kv.h"

enum {
	DECODE_MAX_DIM = 256,
	DECODE_MAX_ROWS = 256, /* q_len * heads / kv_heads: what shares one pass over a KV head */
	DECODE_MAX_THREADS = 64,
	DECODE_ALIGN = 64, /* what scratch memory must be aligned to, in bytes */
};

/*
 * out = softmax(scale * q K^T + mask) V. Query i of head h is at q + h * q_head + i * q_row,
 * head_dim floats side by side (strides in floats), out likewise. Head h reads KV head
 * h / (heads / kv_heads), and all heads of one KV head share one pass over it. The q_len queries
 * are the last tokens of the kv_len stored: query i stands at position i + kv_len - q_len. Causal:
 * it sees no key after its position (one query sees all, causal or not). Window w: it sees no key
 * at or before its position - w (0: no window).
 *
 * Values that are not numbers: as in attention.h for f32 and bf16; int8 also makes NaN the row of
 * a query that holds an inf.
 */
struct decode {
	const float *q;
	float *out;
	size_t q_head, q_row, o_head, o_row;
	uint32_t heads, kv_heads; /* heads is a multiple of kv_heads */
	uint32_t q_len, kv_len;
	uint32_t head_dim; /* 1..DECODE_MAX_DIM */
	float scale;	   /* usually 1 / sqrt(head_dim) */
	bool causal;
	uint32_t window;
	struct kv_view kv; /* at least kv_len tokens of kv_heads heads */
	uint32_t threads;  /* 0 or 1: the caller's alone. More: OpenMP threads, each KV head's keys
			    * cut into as many parts if need be, merged by their sums of
			    * exponentials (Dao et al. 2023, "Flash-Decoding") */
};

/* Returns 0, or -EINVAL for a shape out of range, a null pointer, or too small a scratch. */
typedef int decode_fn(const struct decode *d, void *scratch, size_t scratch_bytes);

/* 0 or -EINVAL: what every variant checks first. */
int decode_check(const struct decode *d);
/* Row r of a KV head (query * heads a KV head + head) sees keys first..end - 1. */
void decode_visible(const struct decode *d, uint32_t r, uint32_t *first, uint32_t *end);
/* Bytes of scratch that every variant needs, DECODE_ALIGN-aligned: whatever kv_len. */
size_t decode_scratch(const struct decode *d);

/*
 * Strides of q, out and a contiguous [head][token][dim] store of one type, scales [head][token],
 * and 1/sqrt(dim). Pointers are left NULL.
 */
void decode_set_packed(struct decode *d, enum kv_type type, uint32_t heads, uint32_t kv_heads,
		       uint32_t q_len, uint32_t kv_len, uint32_t head_dim);

/* Useful work, 4 * dim for each visible pair; bytes of K, V, their scales, Q and out, once each. */
uint64_t decode_flops(const struct decode *d);
uint64_t decode_bytes(const struct decode *d);

/*
 * The reference: double precision, over the stored values as they are; so its distance to a
 * variant is the kernel's error, and what storing cost is told in kv.h. Variants are held to
 *   |got - ref| <= (DECODE_ERROR * (1 + A) + E) * max|v|
 * A the largest scale * sum |q||k| of the query, and E = 0 but for int8, whose queries are rounded
 * to 16 bits of their largest: E = 2^-15 * scale * max|q| * the largest sum |k|.
 */
#define DECODE_ERROR 4e-6
int decode_ref(const struct decode *d, void *scratch, size_t scratch_bytes);

decode_fn decode_scalar, decode_avx2, decode_avx512, decode_neon;

#endif
