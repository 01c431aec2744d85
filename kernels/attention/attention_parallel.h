/* SPDX-License-Identifier: Apache-2.0 */
/* attention_parallel.h: an attention call on several threads, and the blocks that suit it best. */
#ifndef KERNELS_ATTENTION_PARALLEL_H
#define KERNELS_ATTENTION_PARALLEL_H

#include <stddef.h>
#include <stdint.h>

struct attention;
struct kernel;

/*
 * Heads and blocks of queries on up to `threads` OpenMP threads, the longest first; the result is
 * that of k->run.attention(a, …), to the bit when it depends on one query at a time (not with a
 * block of queries cut elsewhere: then to rounding). Without OpenMP one thread does it all. A call
 * with a window but not causal is cut by heads alone.
 *
 * k is an attention row of kernels.def that this CPU runs. scratch, ATTENTION_ALIGN-aligned, is
 * what attention_parallel_scratch says, for as many threads. 0, or -EINVAL as the kernel itself,
 * and for no threads or another kind of kernel.
 */
int attention_parallel(const struct kernel *k, const struct attention *a, uint32_t threads,
		       void *scratch, size_t scratch_bytes);
size_t attention_parallel_scratch(const struct kernel *k, const struct attention *a,
				  uint32_t threads);

/*
 * The fastest block sizes for calls like a with kernel k, timed on one head of a itself within
 * about budget_ns, but that every candidate has a turn and the best of them eight (with a budget
 * of 0, one): a->out gets that head's result again and again.
 * The tuned defaults win unless others beat them by 2 %. Block sizes change speed and rounding,
 * nothing else. 0 or -EINVAL, as above.
 */
int attention_tune(const struct kernel *k, const struct attention *a, uint64_t budget_ns,
		   void *scratch, size_t scratch_bytes, uint32_t *block_q, uint32_t *block_k);
size_t attention_tune_scratch(const struct kernel *k, const struct attention *a);

#endif
