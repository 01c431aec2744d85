/* SPDX-License-Identifier: Apache-2.0 */
/* bucket.h: the one histogram arithmetic, shared by eBPF programs, the target and the reader. */
#ifndef PERFTOP_BUCKET_H
#define PERFTOP_BUCKET_H

/*
 * Log-linear buckets over unsigned values (nanoseconds, bytes, counts): every value below 64 has
 * its own bucket, then 32 sub-buckets an octave up to 2^40 (1,099 s in ns, 18 minutes). A bucket
 * is at most 1/32 of its lower bound wide, so its midpoint is within 1/64 = 1.6 % of any value in
 * it. Larger values fall into the last bucket; the exact maximum is kept beside the buckets.
 */
#define BUCKET_SUB_BITS 5
#define BUCKET_SUB	(1u << BUCKET_SUB_BITS)
#define BUCKET_MAX_BITS 40
#define BUCKET_COUNT	(((BUCKET_MAX_BITS - BUCKET_SUB_BITS) << BUCKET_SUB_BITS) + BUCKET_SUB)

#ifdef __bpf__
#define BUCKET_TWO(x)	x, x
#define BUCKET_EIGHT(x) x, x, x, x, x, x, x, x
#define BUCKET_32(x)	BUCKET_EIGHT(x), BUCKET_EIGHT(x), BUCKET_EIGHT(x), BUCKET_EIGHT(x)
static const unsigned char bucket_log2_of[256] = {
	BUCKET_TWO(0),	 BUCKET_TWO(1),	  BUCKET_TWO(2), BUCKET_TWO(2), BUCKET_EIGHT(3),
	BUCKET_EIGHT(4), BUCKET_EIGHT(4), BUCKET_32(5),	 BUCKET_32(6),	BUCKET_32(6),
	BUCKET_32(7),	 BUCKET_32(7),	  BUCKET_32(7),	 BUCKET_32(7),
};

/*
 * Below 2^BUCKET_MAX_BITS. BPF has no clz instruction, and the verifier follows each branch with
 * all that comes after it: few branches, and a table.
 */
static inline __attribute__((always_inline)) unsigned int bucket_log2(unsigned long long v)
{
	unsigned int r = 0;

	if (v >= 1ull << 24)
		r = v >= 1ull << 32 ? 32 : 24;
	else if (v >= 1u << 16)
		r = 16;
	else if (v >= 1u << 8)
		r = 8;
	return r + bucket_log2_of[v >> r & 255];
}
#else
static inline unsigned int bucket_log2(unsigned long long v)
{
	return 63u - (unsigned int)__builtin_clzll(v | 1);
}
#endif

/* Index of the bucket that holds v, always below BUCKET_COUNT. */
static inline __attribute__((always_inline)) unsigned int bucket_index(unsigned long long v)
{
	unsigned int e;

	if (v < 2 * BUCKET_SUB)
		return (unsigned int)v;
	if (v >> BUCKET_MAX_BITS)
		return BUCKET_COUNT - 1;
	e = bucket_log2(v) - BUCKET_SUB_BITS;
	return (e << BUCKET_SUB_BITS) + (unsigned int)(v >> e);
}

/* Smallest value that falls into bucket i. */
static inline unsigned long long bucket_low(unsigned int i)
{
	unsigned int e;

	if (i < 2 * BUCKET_SUB)
		return i;
	e = (i >> BUCKET_SUB_BITS) - 1;
	return (unsigned long long)(i - (e << BUCKET_SUB_BITS)) << e;
}

/* Number of values that fall into bucket i. */
static inline unsigned long long bucket_width(unsigned int i)
{
	return i < 2 * BUCKET_SUB ? 1 : 1ull << ((i >> BUCKET_SUB_BITS) - 1);
}

/* The value reported for bucket i: its midpoint, at most 1.6 % from any value in it. */
static inline unsigned long long bucket_mid(unsigned int i)
{
	return bucket_low(i) + (bucket_width(i) - 1) / 2;
}

#endif
