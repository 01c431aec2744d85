/* SPDX-License-Identifier: Apache-2.0 */
/* decode_state.h: the running softmax of the rows that share a KV head, and its place in scratch.
 */
#ifndef KERNELS_DECODE_STATE_H
#define KERNELS_DECODE_STATE_H

#include "kernels/decode/decode.h"

/* Dimensions are padded to the longest pair of vectors, so that no loop over them has a remainder
 * but the one that reads the store. */
#define DECODE_PAD 32
/* Rows by eights (decode_wide.h, decode_wide16.h): so many of them are worth filling up, of f32. */
#define DECODE_WIDE_LEAST 6

/*
 * One part of a decode: rows (queries x heads of one KV head) against a range of keys. Arrays are
 * in scratch, DECODE_ALIGN-aligned.
 */
struct decode_state {
	float *q, *o;		   /* [rows][dim], q times scale * log2(e) */
	int16_t *q16;		   /* [rows][dim], of int8: q / q_scale */
	float *s;		   /* [rows][stride]: logits, then weights */
	float *k_scale, *v_scale;  /* [block], of int8 */
	float *max, *sum, *factor; /* [rows]; factor: of what was summed before this block */
	float *q_scale;
	uint32_t rows, dim, block; /* dim is padded */
	uint32_t room;	 /* rows that there is room for: the last eight may be filled up */
	uint32_t stride; /* block and a tile: a tile may write beyond a page's last key */
	size_t ahead;	 /* decode_ahead() */
};

/*
 * Keys a block: see decode_state.c for why. Of several rows as many as near_floats of keys: half of
 * an L1 of 48 KiB for vectors of eight lanes; the sixteen of the wider have so little to do for one
 * that twice as many, their keys in L2, are 5 % faster. Scratch has room for these.
 */
#define DECODE_NEAR_FLOATS 12288
uint32_t decode_block(const struct decode *d, uint32_t near_floats);
size_t decode_state_bytes(const struct decode *d);
void decode_state_init(struct decode_state *t, const struct decode *d, uint32_t near_floats,
		       void *mem);

/* Parts that each KV head's keys are cut into, and states that a call needs at once. The keys of a
 * head are first_key..kv_len - 1: those before no query sees. */
uint32_t decode_first_key(const struct decode *d);
uint32_t decode_cuts(const struct decode *d);
size_t decode_parts(const struct decode *d);

/* Row r of KV head g by itself, with no vector instruction. */
void decode_row(const struct decode *d, uint32_t g, uint32_t r);

/* A piece of a block whose rows lie side by side. */
struct decode_span {
	const char *k, *v;
	const char *next; /* to fetch meanwhile, as many bytes; see decode_next() */
	const float *k_scale, *v_scale;
	uint32_t n;
};

/* The longest such piece from key j on, at most up to end. */
static inline struct decode_span decode_span_at(enum kv_type type, const struct kv_view *kv,
						uint32_t g, uint32_t j, uint32_t end)
{
	uint32_t row = kv->pages ? j % kv->page_tokens : j;
	size_t page = kv->pages ? kv->pages[j / kv->page_tokens] * kv->page_bytes : 0;
	size_t at = page + g * kv->head_bytes + row * kv->row_bytes;
	struct decode_span span = {
		.k = (const char *)kv->k + at, .v = (const char *)kv->v + at, .n = end - j};

	if (kv->pages && span.n > kv->page_tokens - row)
		span.n = kv->page_tokens - row;
	if (type == KV_I8) {
		at = page + g * kv->scale_head_bytes + row * sizeof(float);
		span.k_scale = (const float *)(const void *)((const char *)kv->k_scale + at);
		span.v_scale = (const float *)(const void *)((const char *)kv->v_scale + at);
	}
	return span;
}

/*
 * What is read after the keys (or values) of a block: values, and keys of the next block. Tiles of
 * several rows leave memory idle, so they fetch it meanwhile; but not of a store that caches hold,
 * where it comes as fast as it is asked for, and asking twice takes up to a tenth.
 */
#define DECODE_NEAR_BYTES ((size_t)4 << 20)
static inline size_t decode_store_bytes(const struct decode *d)
{
	return 2 * d->kv.row_bytes * d->kv_len * d->kv_heads;
}
static inline const char *decode_next(enum kv_type type, const struct decode *d, uint32_t g,
				      const struct decode_span *span, uint32_t next, bool values)
{
	if (decode_store_bytes(d) <= DECODE_NEAR_BYTES)
		return values ? span->v : span->k;
	if (!values || next >= d->kv_len)
		return span->v;
	return decode_span_at(type, &d->kv, g, next, next + 1).k;
}

/*
 * How far ahead of its loads a single row fetches: across the end of a page, where the hardware
 * stops. A CPU with vectors of sixteen lanes keeps so many lines under way that 8 KiB are best
 * wherever the store lies (Zen 5). Others (Zen 3) 1.5 KiB, and not of floats that come from memory:
 * there they need all the requests that the hardware can have under way, and it runs further ahead.
 */
static inline size_t decode_ahead(const struct decode *d, uint32_t lanes)
{
	if (lanes >= 16)
		return 8192;
	return d->kv.type == KV_F32 && decode_store_bytes(d) > DECODE_NEAR_BYTES ? 0 : 1536;
}

#endif
