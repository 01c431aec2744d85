/* SPDX-License-Identifier: Apache-2.0 */
/* hist.bpf.h: recording into a histogram of this CPU. */
#ifndef PERFTOP_HIST_BPF_H
#define PERFTOP_HIST_BPF_H

static __always_inline void hist_max(u64 *max, u64 v)
{
	u64 old = *max;

	/* Programs can interleave on one CPU: retry a few times, a new maximum is rare. */
	for (int i = 0; i < 3 && v > old; i++) {
		u64 seen = __sync_val_compare_and_swap(max, old, v);

		if (seen == old)
			break;
		old = seen;
	}
}

/* For programs that another task's may interrupt on the same CPU. */
static __always_inline void hist_record_atomic(struct contract_hist *h, u64 v)
{
	u32 i = bucket_index(v);

	if (i >= BUCKET_COUNT)
		return;
	__sync_fetch_and_add(&h->bins[i], 1);
	__sync_fetch_and_add(&h->sum, v);
	hist_max(&h->max, v);
	/* Last: a reader that sees the count sees at least as many in the bins. */
	__sync_fetch_and_add(&h->count, 1);
}

/*
 * For programs of which no two runs interleave on one CPU: with preemption off, say. v lies in
 * bucket i and stands for n, which have the sum sum.
 */
static __always_inline void hist_add_many(struct contract_hist *h, u32 i, u64 v, u64 sum, u32 n)
{
	if (i >= BUCKET_COUNT)
		return;
	h->bins[i] += n;
	h->sum += sum;
	if (v > h->max)
		h->max = v;
	h->count += n;
}

static __always_inline void hist_record(struct contract_hist *h, u64 v)
{
	hist_add_many(h, bucket_index(v), v, v, 1);
}

#endif
