/* SPDX-License-Identifier: Apache-2.0 */
/* attention.h: out = softmax(scale * Q K^T + mask) V, every algorithm and instruction set. */
#ifndef KERNELS_ATTENTION_H
#define KERNELS_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/isa.h"

enum {
	ATTENTION_MAX_DIM = 1024,
	ATTENTION_MAX_BLOCK_Q = 128,
	ATTENTION_MAX_BLOCK_K = 512,
	ATTENTION_MAX_SPAN = 64, /* queries of a block that registers hold, in any variant */
	ATTENTION_CHUNK = 8,	 /* blocks of keys in a chunk of attention_chunked */
	ATTENTION_ALIGN = 64,	 /* what scratch memory must be aligned to, in bytes */
};

/*
 * One call, f32. Row i of head h of q is at q + h * q_head + i * q_row and holds head_dim floats
 * side by side; k, v and out likewise (strides in floats, so [head][row][dim] and [row][head][dim]
 * both fit, and no alignment is asked for). Query head h reads key/value head
 * h / (heads / kv_heads): kv_heads = heads is MHA, fewer GQA, 1 MQA.
 *
 * Query i stands at position i + kv_len - q_len (both sequences end together). Causal: it sees no
 * key after its position. Window w: it sees no key at or before its position - w, so a causal query
 * sees the last w keys, its own included (Beltagy et al. 2020; 0: no window).
 *
 * Values that are not numbers: a NaN, or a logit of +inf, makes its query's row NaN; a logit of
 * -inf weighs nothing; a query that sees no key, or only logits of -inf, gives a row of zeros. A v
 * that is not finite makes not finite, in its dimension, what gives its key a weight, and may what
 * sees it with none (0 times inf). What a query does not see never reaches it.
 */
struct attention {
	const float *q, *k, *v;
	float *out;
	uint32_t heads, kv_heads; /* heads is a multiple of kv_heads */
	uint32_t q_len, kv_len;
	uint32_t head_dim; /* 1..ATTENTION_MAX_DIM */
	size_t q_head, q_row, k_head, k_row, v_head, v_row, o_head, o_row;
	float scale; /* usually 1 / sqrt(head_dim) */
	bool causal;
	uint32_t block_q; /* queries a block, a multiple of 8; 0 is the tuned default */
	uint32_t block_k; /* keys a block, up to ATTENTION_MAX_BLOCK_K; 0 is the tuned default */
	float *lse; /* NULL, or [heads][q_len]: the natural log of each query's sum of exponentials,
		     * what the backward pass starts from; -inf for a query that sees no key */
	uint32_t window; /* 0: none */
	float *weights;	 /* NULL, or [heads][kv_len]: what each head's last query weighs the keys,
			  * which add up to 1, or to 0 when it sees none; 0 for a hidden one. Taken
			  * from the scores as they pass, so that no key is read again. Each is held
			  * to an error of ATTENTION_ERROR * (1 + A), as below */
};

/* Returns 0, or -EINVAL for a shape out of range, a null pointer, or too small a scratch. */
typedef int attention_fn(const struct attention *a, void *scratch, size_t scratch_bytes);

/*
 * Scratch bytes that a variant needs whatever its instruction set, ATTENTION_ALIGN-aligned. Flash
 * is O(block) at any sequence length, at most 160 KiB with the default blocks, and chunked
 * likewise; textbook one row of scores; memory-efficient the rows of a chunk of queries; standard a
 * whole kv_len x q_len matrix of scores.
 */
size_t attention_flash_scratch(const struct attention *a);
size_t attention_chunked_scratch(const struct attention *a);
size_t attention_textbook_scratch(const struct attention *a);
size_t attention_memory_efficient_scratch(const struct attention *a);
size_t attention_standard_scratch(const struct attention *a);

/* Packed [head][row][dim] strides, 1/sqrt(dim), for tests and benchmarks. Pointers are left NULL.
 */
void attention_set_packed(struct attention *a, uint32_t heads, uint32_t kv_heads, uint32_t q_len,
			  uint32_t kv_len, uint32_t head_dim);

/* 0 or -EINVAL: what every variant checks first. */
int attention_check(const struct attention *a);
/* Query i sees keys first..end - 1; none when they are equal. */
void attention_visible(const struct attention *a, uint32_t i, uint32_t *first, uint32_t *end);
/* Blocks of a with that instruction set: the caller's, or the tuned ones. */
void attention_blocks(const struct attention *a, enum isa isa, uint32_t *block_q,
		      uint32_t *block_k);

/* Useful work: 4 * dim for each visible query-key pair; bytes of Q, K, V and out, once each. */
uint64_t attention_flops(const struct attention *a);
uint64_t attention_bytes(const struct attention *a);

/*
 * The reference: double precision throughout, one query at a time, three passes. Every variant is
 * held to |got - ref| <= ATTENTION_ERROR * (1 + A) * max|v|, A the largest scale * sum |q||k| of
 * the query: f32 dot products round relative to A, and the softmax turns an absolute error of a
 * logit into a relative one of its weight.
 */
#define ATTENTION_ERROR 4e-6
int attention_ref(const struct attention *a, void *scratch, size_t scratch_bytes);

attention_fn attention_textbook_scalar, attention_flash_scalar, attention_chunked_scalar;
attention_fn attention_flash_avx2, attention_standard_avx2;
attention_fn attention_memory_efficient_avx2, attention_chunked_avx2;
attention_fn attention_memory_efficient_avx512, attention_chunked_avx512;
attention_fn attention_memory_efficient_neon, attention_chunked_neon;
attention_fn attention_flash_avx512, attention_standard_avx512;
attention_fn attention_flash_neon, attention_standard_neon;

/* y[i] = 2^x[i] as the flash kernels compute it: at most 3 ULP for x in [-126, 0], below that
 * no more than 2^-126, and 0 from -150 on down. */
typedef void exp2_fn(const float *x, float *y, size_t n);
exp2_fn exp2_scalar, exp2_avx2, exp2_avx512, exp2_neon;

#endif
