/* SPDX-License-Identifier: Apache-2.0 */
/* decode_state.c: sizes of decode's blocks and parts, and where they lie in scratch. */
#include "kernels/decode/decode_state.h"

#define ROUND_UP(n, to) (((n) + (to)-1) / (to) * (to))
#define SPILL		16 /* keys of the largest tile */

/*
 * A single row reads each key once: a long block, for few changes between the streams of keys and
 * values, and few softmaxes; beyond 512 nothing more is gained. More rows have time to fetch the
 * next block meanwhile, or read this one again, so it should stay near: DECODE_NEAR_FLOATS of keys,
 * a whole number of tiles.
 */
uint32_t decode_block(const struct decode *d, uint32_t near_floats)
{
	uint32_t rows = d->heads / d->kv_heads * d->q_len, block;

	if (rows == 1)
		return 512;
	block = near_floats / ROUND_UP(d->head_dim, 16) / 24 * 24;
	return block > 240 ? 240 : block < 24 ? 24 : block;
}

/* Eights of rows are kept whole, where any variant fills them up. */
static uint32_t decode_room(const struct decode *d)
{
	uint32_t rows = d->heads / d->kv_heads * d->q_len;

	return rows % 8 >= DECODE_WIDE_LEAST ? ROUND_UP(rows, 8) : rows;
}

/* Of a row's scores, so that each row is aligned. */
static uint32_t decode_stride(const struct decode *d)
{
	return ROUND_UP(decode_block(d, DECODE_NEAR_FLOATS) + SPILL, 16);
}

size_t decode_state_bytes(const struct decode *d)
{
	size_t rows = decode_room(d);
	size_t dim = ROUND_UP(d->head_dim, DECODE_PAD), block = decode_stride(d);

	/* q and o, q16 in half the room, scores, scales, four numbers a row. */
	return (rows * (2 * dim + dim / 2 + block) + 2 * block + 4 * ROUND_UP(rows, 16)) *
	       sizeof(float);
}

void decode_state_init(struct decode_state *t, const struct decode *d, uint32_t near_floats,
		       void *mem)
{
	size_t rows;

	t->rows = d->heads / d->kv_heads * d->q_len;
	t->room = decode_room(d);
	t->dim = ROUND_UP(d->head_dim, DECODE_PAD);
	t->block = decode_block(d, near_floats);
	t->stride = decode_stride(d);
	rows = ROUND_UP(t->room, 16);
	t->q = mem;
	t->o = t->q + t->room * (size_t)t->dim;
	t->s = t->o + t->room * (size_t)t->dim;
	t->k_scale = t->s + t->room * (size_t)t->stride;
	t->v_scale = t->k_scale + t->stride;
	t->max = t->v_scale + t->stride;
	t->sum = t->max + rows;
	t->factor = t->sum + rows;
	t->q_scale = t->factor + rows;
	t->q16 = (int16_t *)(void *)(t->q_scale + rows);
}

uint32_t decode_first_key(const struct decode *d)
{
	uint32_t first, end;

	decode_visible(d, 0, &first, &end);
	return first;
}

/* Only when the KV heads alone do not spread evenly, and never below a block a part. */
uint32_t decode_cuts(const struct decode *d)
{
	uint32_t keys = d->kv_len - decode_first_key(d);
	uint32_t block = decode_block(d, DECODE_NEAR_FLOATS), blocks = (keys + block - 1) / block;
	uint32_t cuts = d->threads;

	if (cuts <= 1 || d->kv_heads % cuts == 0)
		return 1;
	return cuts < blocks ? cuts : blocks ? blocks : 1;
}

/* Cut heads keep the states of all their parts until they are merged. */
size_t decode_parts(const struct decode *d)
{
	uint32_t cuts = decode_cuts(d);

	if (cuts > 1)
		return (size_t)d->kv_heads * cuts;
	return d->threads > 1 ? d->threads : 1;
}
