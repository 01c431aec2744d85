/* SPDX-License-Identifier: Apache-2.0 */
/* sampler.h: two sources of CPU samples: eBPF for the whole machine, perf for one's own. */
#ifndef PERFTOP_SAMPLER_H
#define PERFTOP_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/unwind.h"

struct bpf;

/* One sample as the collector gets it. Valid during the callback. */
struct sampler_sample {
	uint64_t time_ns; /* CLOCK_MONOTONIC, 0 = not known */
	uint32_t pid, tid;
	uint32_t parent; /* whose program a child that has not run execve runs; 0 = none */
	uint32_t in_kernel;
	const uint64_t *kernel_ips; /* leaf first */
	uint32_t nkernel;
	struct unwind_regs regs;
	const void *slice; /* user stack from sp upwards */
	size_t slice_bytes;
	/* Of a call with a return probe, where it goes back to; 0: none, or not known. */
	uint64_t return_ip, return_at;
};

static inline uint64_t sampler_ip(const struct sampler_sample *s)
{
#if defined(__aarch64__)
	return s->regs.r[32];
#else
	return s->regs.r[16];
#endif
}

/*
 * A sample taken as a function with a return probe returns stands in the kernel's trampoline, out
 * of which no unwind rule leads: go on from where the call returns to. Offset: from the
 * trampoline's beginning.
 */
void sampler_leave_trampoline(struct sampler_sample *s, uint64_t offset);

typedef void sampler_fn(void *arg, const struct sampler_sample *s);

struct sampler;

/* The registers that a sample of eBPF holds, by their DWARF numbers; saved[CONTRACT_SAVED_REGS]. */
struct contract_sample;
void sampler_set_registers(struct unwind_regs *r, uint64_t ip, uint64_t sp, uint64_t bp,
			   const uint64_t *saved);
void sampler_registers(struct unwind_regs *r, const struct contract_sample *s);

/* Everything of the target on every CPU, by the on_cpu_clock program. */
struct sampler *sampler_new_bpf(struct bpf *b, uint32_t hz, char *why, size_t why_size);

/*
 * Threads of a process of one's own, user space alone, by perf_event_open(2); no privilege. On
 * success why is "" or says, after "; ", what is left out. With `children` those that it forks from
 * now on are sampled too.
 */
struct sampler *sampler_new_perf(pid_t pid, uint32_t hz, bool children, char *why, size_t why_size);
void sampler_free(struct sampler *s);

/* Another process beside; nothing to do for eBPF, which knows the target itself. 0 or -errno. */
int sampler_add(struct sampler *s, pid_t pid);

/* Hand every sample that waits to fn. */
void sampler_drain(struct sampler *s, sampler_fn *fn, void *arg);
uint64_t sampler_lost(const struct sampler *s);
uint64_t sampler_taken(const struct sampler *s); /* events in the target that cost it something */

/* Stacks come cut: copy as much of them as can be from now on, which costs some 5 us a sample. */
void sampler_go_deep(struct sampler *s);

/* Readable when the buffer fills before the tick; -1 if there is no such signal. */
int sampler_fd(const struct sampler *s);

/* New threads since the last call are sampled too. Called once a tick. */
void sampler_follow_threads(struct sampler *s);

#endif
