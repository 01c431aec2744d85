/* SPDX-License-Identifier: Apache-2.0 */
/* sched_window.h: context switches that are too many for the budget are seen in windows. */
#ifndef PERFTOP_SCHED_WINDOW_H
#define PERFTOP_SCHED_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpf;
struct perftop_bpf;

enum { SCHED_WINDOW_PROGRAMS = 3 };

/*
 * One window an interval, 1/weight of it long, in which the programs of context switches are
 * attached and each switch stands for weight. Weight 1: they are attached throughout.
 */
struct sched_window {
	struct perftop_bpf *skel;
	int timer_fd; /* of its owner, who ends a window by it; -1: there are none */
	uint32_t weight;
	const char *programs[SCHED_WINDOW_PROGRAMS];
	uint32_t nprograms;
	bool open;	      /* and is to be closed again */
	uint64_t opened_ns;   /* CLOCK_MONOTONIC */
	uint64_t seen_ns;     /* length of the last one that was closed */
	uint32_t seen_weight; /* when it was opened; at most 1: all were seen */
	int64_t ahead_ns;     /* what windows stood for until now, beyond the time that passed */
	uint32_t over;	      /* decisions in a row for windows */
	uint32_t calm;	      /* and against them, while there are some */
};

/* One more program that is attached, and is only needed in windows. A string that stays; one that
 * is there already is not added twice. */
void sched_window_add(struct sched_window *w, const char *program);
/* Attach one, and add it. 0, or -errno with the reason. */
int sched_window_attach(struct sched_window *w, struct bpf *b, const char *program, char *why,
			size_t why_size);
/* It is needed no longer. */
void sched_window_drop(struct sched_window *w, const char *program);

/* Next weight, from the rate of switches (of all, seen or not) and what they may take together. */
void sched_window_weigh(struct sched_window *w, double switches_per_s, double ns_each,
			double allowance_ns_per_s, uint64_t interval_ns);

/*
 * Length of the next window at now_ns, that the last ones, which can have been closed late, and it
 * stand for the time from the first one's beginning until interval_ns from now.
 */
uint64_t sched_window_length(struct sched_window *w, uint64_t now_ns, uint64_t interval_ns);

/* Attach for 1/weight of interval_ns. 0, or -errno with the reason: nothing is seen then. */
int sched_window_open(struct sched_window *w, struct bpf *b, uint64_t interval_ns, char *why,
		      size_t why_size);
/* Detach: what was to be read must have been. */
void sched_window_close(struct sched_window *w, struct bpf *b);

#endif
