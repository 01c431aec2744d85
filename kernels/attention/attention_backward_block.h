/* SPDX-License-Identifier: Apache-2.0 */
/* attention_backward_block.h: sizes of the backward pass's blocks, whatever the instruction set. */
#ifndef KERNELS_ATTENTION_BACKWARD_BLOCK_H
#define KERNELS_ATTENTION_BACKWARD_BLOCK_H

#include "kernels/attention/attention_backward.h"

enum {
	BACKWARD_BLOCK_K = 96, /* a multiple of every variant's tile: 6 and 12 keys */
	BACKWARD_TILE = 12,    /* rows of the tallest tile */
	BACKWARD_PAD = 32,     /* two of the longest vectors: what dimensions are padded to */
};

/* Queries a block: five arrays of dim x queries should sit in L2 beside two of keys x queries. */
static inline uint32_t backward_block_q(const struct attention *a)
{
	return a->head_dim <= 128 ? 64 : 32;
}

size_t backward_block_bytes(const struct attention *a);

#endif
