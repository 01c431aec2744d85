/* SPDX-License-Identifier: Apache-2.0 */
/* contract.h: what the eBPF programs and their reader share: map values and limits. */
#ifndef PERFTOP_CONTRACT_H
#define PERFTOP_CONTRACT_H

#include <linux/types.h>

#include "probes/bucket.h"

enum {
	CONTRACT_MAX_SYSCALLS = 512,
	CONTRACT_SLICE_BYTES = 16384, /* of user stack copied with a sample at most */
	CONTRACT_KSTACK = 32,         /* kernel frames kept with a sample */
};

/*
 * One histogram of one CPU. Lives in plain mmapable arrays at index slot * ncpu + cpu, so that
 * the reader sums without a system call. Written with atomic adds: a program may be preempted by
 * another task's on the same CPU. 32-bit bins wrap; the reader accumulates differences.
 */
struct contract_hist {
	__u64 count, sum, max;
	__u64 calls; /* entries seen; count is returns seen */
	__u32 bins[BUCKET_COUNT];
};

/* One syscall on one CPU. */
struct contract_syscall {
	__u64 count;          /* exits, exact */
	__u64 next;           /* time the call when `entered` reaches this */
	__u64 entered;
	struct contract_hist hist; /* of the timed ones */
};

#endif
