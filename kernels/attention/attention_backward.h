/* SPDX-License-Identifier: Apache-2.0 */
/* attention_backward.h: gradients of attention with respect to its queries, keys and values. */
#ifndef KERNELS_ATTENTION_BACKWARD_H
#define KERNELS_ATTENTION_BACKWARD_H

#include "kernels/attention/attention.h"

enum { ATTENTION_BACKWARD_MAX_THREADS = 64 };

/*
 * Given dout = dL/d out, with s_ij = scale q_i . k_j, p_ij = exp(s_ij - lse_i) and
 * D_i = dout_i . out_i:
 *   dv_j = sum_i p_ij dout_i
 *   ds_ij = scale p_ij (dout_i . v_j - D_i)
 *   dq_i = sum_j ds_ij k_j,  dk_j = sum_i ds_ij q_i
 * Weights are computed again block by block from the saved lse, never stored whole (Dao et al.
 * 2022, algorithm 4). Shapes, masks and strides are those of `forward`, whose out and lse a forward
 * call has filled; dout has the strides of out, dq of q, dk of k and dv of v. The gradients are
 * written, not added to; a key that no query sees gets zeros.
 *
 * A row of q, k, v or dout that is not finite makes not finite what depends on it; what is hidden
 * from it by causality or the window it never reaches.
 */
struct attention_backward {
	const struct attention *forward;
	const float *dout;
	float *dq, *dk, *dv;
	uint32_t threads; /* 0 or 1: the caller's alone; more: KV heads in parallel (OpenMP) */
};

/* Returns 0, or -EINVAL: as the forward call, and for a NULL lse or gradient. */
typedef int attention_backward_fn(const struct attention_backward *b, void *scratch,
				  size_t scratch_bytes);

int attention_backward_check(const struct attention_backward *b);
/* Bytes of scratch, ATTENTION_ALIGN-aligned: O(block) a thread, whatever the sequence length. */
size_t attention_backward_scratch(const struct attention_backward *b);

/* Useful work: five products where forward has two. Operands and results once each. */
uint64_t attention_backward_flops(const struct attention_backward *b);
uint64_t attention_backward_bytes(const struct attention_backward *b);

/*
 * The reference: double precision, from q, k, v and dout alone (lse and out are not read). Every
 * variant is held to ATTENTION_BACKWARD_ERROR * (1 + A) times the same sums over absolute values,
 * A the largest scale * sum |q||k|: |dv_j| by sum p |dout|, |dq_i| and |dk_j| by
 * sum scale p (sum |dout||v| + sum |dout||out|) |k or q|.
 */
#define ATTENTION_BACKWARD_ERROR 4e-6
int attention_backward_ref(const struct attention_backward *b, void *scratch, size_t scratch_bytes);

attention_backward_fn attention_backward_scalar, attention_backward_avx2, attention_backward_avx512,
	attention_backward_neon;

#endif
