/* SPDX-License-Identifier: Apache-2.0 */
/* processes.h: the processes of this machine, for choosing one. */
#ifndef PERFTOP_PROCESSES_H
#define PERFTOP_PROCESSES_H

#include <stdint.h>
#include <sys/types.h>

enum { PROCESSES_MAX = 4095 };

struct process {
	pid_t pid;
	uint64_t starttime; /* clock ticks since boot: with the pid, who it is */
	uint64_t cpu_ticks; /* used since its start */
	double cpu_pct;	    /* of one CPU between the last two readings; 0 at the first */
	uint64_t rss_bytes;
	uint32_t threads;
	char user[24];
	char comm[32];
	char cmdline[128]; /* clean; "[comm]" for kernel threads */
};

struct processes {
	struct process list[PROCESSES_MAX], before[PROCESSES_MAX]; /* by pid */
	uint32_t n, nbefore;
	uint32_t left_out;	     /* found, but no room */
	uint64_t read_ns, before_ns; /* CLOCK_MONOTONIC of the readings; 0 = none */
};

/* Zero-initialise. Read /proc anew, without kernel threads and this process. 0 or -errno. */
int processes_read(struct processes *p);

#endif
