/* SPDX-License-Identifier: Apache-2.0 */
/* threads.h: the target's threads as rows, from the eBPF iterator or from /proc. */
#ifndef PERFTOP_THREADS_H
#define PERFTOP_THREADS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "probes/contract.h"

struct bpf;
struct target_set;

/*
 * Rows are sorted by tid and hold totals since each thread's start, so that two readings are
 * compared by walking both. From /proc the fields about waiting are 0.
 */
struct threads {
	pid_t pid;
	struct target_set *set;	     /* the others, when several are watched; or NULL */
	int iter_fd;		     /* link of iter_threads, -1 = read /proc */
	struct contract_thread *now; /* n rows */
	struct contract_thread *before;
	uint32_t n, nbefore, capacity, capacity_before;
	uint64_t now_ns, before_ns; /* CLOCK_MONOTONIC of the two readings */
	bool gone;		    /* the process has exited: the two are of before */
	uint64_t since_ns; /* waits count from here, for weight times: see sched_window.h */
	uint32_t weight;
};

int threads_init(struct threads *t, pid_t pid, struct bpf *b, char *why, size_t why_size);
void threads_fini(struct threads *t);

/*
 * Read again; the rows read last become `before`. 0 or -errno; then both stay as they are. ended:
 * the process is known to have exited, and its pid may be another's.
 */
int threads_read(struct threads *t, bool ended);

/* Row of tid in `before`, or NULL. Cheap when asked in ascending order. */
const struct contract_thread *threads_before(const struct threads *t, uint32_t tid, uint32_t *hint);

/* Row of the thread that knows itself by this tid: in a container it is another than ours. */
const struct contract_thread *threads_by_ns_tid(const struct threads *t, uint32_t ns_tid);

/* The process with this number in the kernel, as this namespace numbers it. */
pid_t threads_pid_of(const struct threads *t, uint32_t tgid);

/* Time this thread had been blocked, and queued, in the wait that it was in when it was read. */
void threads_present_wait(const struct contract_thread *row, uint64_t *blocked, uint64_t *queued);
/* Of it, what counts. Returns how long it had been blocked, as above. */
uint64_t threads_counted_wait(const struct threads *t, const struct contract_thread *row,
			      uint64_t *blocked, uint64_t *queued);

#endif
