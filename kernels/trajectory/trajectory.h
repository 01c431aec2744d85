/* SPDX-License-Identifier: Apache-2.0 */
/* trajectory.h: what one query did, step by step, in a compact record of fixed size. */
#ifndef KERNELS_TRAJECTORY_H
#define KERNELS_TRAJECTORY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	TRAJECTORY_DIM = 256,  /* most floats of an embedding or of activations */
	TRAJECTORY_HEADS = 8,  /* most attention heads */
	TRAJECTORY_TOP = 8,    /* attention weights kept of each head */
	TRAJECTORY_STEPS = 10, /* most steps */
};

/*
 * Vectors are kept as int8 with one scale each: |stored - given| <= max|given| / 254 (rounding)
 * plus one f32 rounding. Of a head's attention weights the TRAJECTORY_TOP heaviest are kept, in
 * units of 1/65535, and the sum of the rest, so the L1 error of a row is at most 2 * rest + 9 /
 * 131070. That is 5.6 KiB for a full record where floats take 92 KiB: 10,000 of them take 58 MB.
 */
struct trajectory_weight {
	uint16_t key, weight;
};

struct trajectory_attention {
	struct trajectory_weight top[TRAJECTORY_HEADS][TRAJECTORY_TOP]; /* heaviest first */
	uint16_t rest[TRAJECTORY_HEADS];
};

struct trajectory_step {
	uint64_t time_ns;
	float reward;
	float scale;
	struct trajectory_attention attention;
	int8_t activations[TRAJECTORY_DIM];
};

struct trajectory {
	uint64_t id;
	uint64_t start_ns;
	float quality; /* of the whole; the caller's to set */
	float query_scale;
	uint32_t dim;
	uint32_t nsteps;
	uint64_t pattern; /* that was found for it; 0: none; the caller's too */
	float expected;	  /* quality of that pattern */
	float spare;
	int8_t query[TRAJECTORY_DIM];
	struct trajectory_step steps[TRAJECTORY_STEPS];
};

/* x[n] to codes[n], finite values only; returns the scale: x is about codes * scale. */
typedef float quantize_fn(const float *x, int8_t *codes, uint32_t n);
quantize_fn quantize_i8_scalar, quantize_i8_avx2, quantize_i8_avx512, quantize_i8_neon;

/*
 * Several vectors at once, row r from x + r * x_row: scale, a copy of `attention` and codes to
 * to[r], as quantize_fn row by row to the bit. They are written in the order in which they lie: a
 * record that is not in the caches is then asked for ahead, as it is for memcpy.
 */
struct quantize_rows {
	const float *x;
	size_t x_row;
	uint32_t rows, n;
	const struct trajectory_attention *attention; /* not NULL */
	struct trajectory_step *to;
};
typedef void quantize_rows_fn(const struct quantize_rows *q);
quantize_rows_fn quantize_rows_i8_scalar, quantize_rows_i8_avx2, quantize_rows_i8_avx512,
	quantize_rows_i8_neon;
/* For variants that gain nothing from several rows. */
void quantize_each_row(const struct quantize_rows *q, quantize_fn *quantize);

/* In pieces that compilers copy in registers: for the whole they choose a string instruction, which
 * takes longer to start than all of this. */
static inline void trajectory_copy_attention(struct trajectory_attention *to,
					     const struct trajectory_attention *from)
{
	enum { PIECE = 64, WHOLE = sizeof(*to) / PIECE * PIECE };

	for (size_t i = 0; i < WHOLE; i += PIECE)
		memcpy((char *)to + i, (const char *)from + i, PIECE);
	memcpy((char *)to + WHOLE, (const char *)from + WHOLE, sizeof(*to) - WHOLE);
}

/* -EINVAL when dim is 0 or above TRAJECTORY_DIM. */
int trajectory_begin(struct trajectory *t, quantize_fn *quantize, uint64_t id, const float *query,
		     uint32_t dim, uint64_t now_ns);
/* attention may be NULL: none kept. -ENOSPC past TRAJECTORY_STEPS. */
int trajectory_add_step(struct trajectory *t, quantize_fn *quantize, const float *activations,
			const struct trajectory_attention *attention, float reward,
			uint64_t now_ns);

/*
 * Several steps at once, of one time and one attention (NULL: none): activations [steps][dim],
 * rewards [steps]. -ENOSPC when they would not fit: then none is added.
 */
int trajectory_add_steps(struct trajectory *t, quantize_rows_fn *quantize, const float *activations,
			 uint32_t steps, const struct trajectory_attention *attention,
			 const float *rewards, uint64_t now_ns);

/* Keep the heaviest of one head's n <= 65536 weights (not negative, summing to at most 1). */
void trajectory_keep_weights(struct trajectory_attention *a, uint32_t head, const float *weights,
			     uint32_t n);

/* Back to floats, t->dim of them. -EINVAL for a step that is not there. */
void trajectory_read_query(const struct trajectory *t, float *query);
int trajectory_read_step(const struct trajectory *t, uint32_t step, float *activations);

/* Bytes of the record that are in use: what a copy of it has to move. */
size_t trajectory_bytes(const struct trajectory *t);

#endif
