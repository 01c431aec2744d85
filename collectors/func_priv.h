/* SPDX-License-Identifier: Apache-2.0 */
/* func_priv.h: what the files of the func collector share. */
#ifndef COLLECTORS_FUNC_PRIV_H
#define COLLECTORS_FUNC_PRIV_H

#include <time.h>

#include "collectors/func_attach.h"
#include "collectors/func_budget.h"
#include "collectors/func_hist.h"
#include "collectors/latency.h"
#include "collectors/probe_plan.h"
#include "collectors/session.h"

enum {
	FUNC_SHOWN = 512, /* rows of a snapshot, when there are more the most called */
};

struct func_row {
	struct latency_track track;
	uint64_t calls, calls_base;	/* seen at the last tick, at the last reset */
	double rate;			/* calls a second */
	double seen_calls, seen_cpu_ns; /* in windows of late, and CPU time that they are of */
	double unseen;			/* calls estimated beyond those that were seen */
	double cost_ns;
	bool estimated, shown;
	char note[64];
};

struct func_calls;

struct func {
	struct probe_plan *plan;
	struct func_attach *attach; /* one of these two is there */
	struct func_calls *calls;
	struct func_hists hists;
	const uint64_t *unmatched; /* by slot */
	uint32_t nrows, cap;	   /* rows now, and at most */
	struct func_row *rows;
	struct func_load *loads; /* by slot */
	bool *moved;		 /* by slot, scratch, as are these */
	uint32_t *order;
	uint64_t *fresh;
	struct latency_sum sum;
	struct func_costs costs;
	uint32_t over_ticks;
	uint64_t read_ns, interval_ns; /* when calls were read, and since the time before */
	uint64_t generation;	       /* of the mappings that the plan knows */
	bool watchful; /* a library was waited for: look at the mappings each tick */
	char late_trouble[SNAP_TEXT];
	int late_fd; /* a timer, see func_late.c */
	bool late_armed;
	uint32_t late_rest; /* of its times to let pass */
	uint64_t late_pages;

	/* Windows, see func_window.c. */
	int timer_fd;
	bool open;
	/* Probes take a third of a window or more: what a call costs moves estimates, down mostly.
	 */
	bool dearly_seen;
	uint64_t window_ns, opened_ns; /* length; when the last began */
	uint64_t on_since_ns, on_ns;   /* of it, in this interval */
	clockid_t cpu_clock;	      /* the target's CPU time; CLOCK_MONOTONIC where it has none */
	uint64_t cpu_read_ns, cpu_ns; /* by it: the last reading, and in this interval */
	uint64_t on_cpu_since_ns, on_cpu_ns; /* by it: of the window, in this interval */
};

/* ---- func_way.c: by eBPF or in the process, as struct func has it ---- */

int func_way_sites(struct func *f, struct session *se, uint32_t from, char *why, size_t why_size);
int func_way_newcomers(struct func *f, char *why, size_t why_size);
int func_way_move(struct func *f, enum func_set to, char *why, size_t why_size); /* f->moved */
int func_way_window(struct func *f, bool open, char *why, size_t why_size);
void func_way_retire(struct func *f);
uint64_t func_way_calls(const struct func *f, uint32_t row);
void func_way_sum(const struct func *f, uint32_t row, struct latency_sum *sum);
void func_way_free(struct func *f);

/* ---- func_calls.c: in the process ---- */

/* 0 or -errno with why; -EAGAIN: func_calls_tick tries again. */
int func_calls_open(struct func *f, struct session *se, char *why, size_t why_size);
void func_calls_free(struct func_calls *c);
int func_calls_sites(struct func *f, struct session *se, char *why, size_t why_size);
/* Gates by set and window. */
int func_calls_move(struct func *f, enum func_set to, char *why, size_t why_size);
int func_calls_window(struct func *f, bool open, char *why, size_t why_size);
uint64_t func_calls_count(const struct func *f, uint32_t row);
void func_calls_sum(const struct func *f, uint32_t row, struct latency_sum *sum);
void func_calls_tick(struct func *f, struct session *se);
/* Cost and note of a row; false: it is not counted. */
bool func_calls_price(const struct func *f, uint32_t row, double *cost_ns, char *note,
		      size_t note_size);
bool func_calls_works(const struct func *f); /* the library is there */
/* What the section says: words, and rows of the plan that no call comes to. */
void func_calls_say(const struct func *f, char *text, size_t size, uint32_t *unseen);

/* ---- func_rows.c ---- */

/* What the probes of rows from `from` on cost and how that is said. */
void func_rows_price(struct func *f, uint32_t from);
/* Read the counts: rates and loads. */
void func_rows_read(struct func *f, struct session *se);
/*
 * CPU time that the target has for itself, of cpu_ns, in which probes take probes_ns by their
 * price. That is known to some 15 %: taken as what is sure, it makes estimates low and not several
 * times too high where probes take more than the program.
 */
double func_rows_own_ns(double cpu_ns, double probes_ns);
/* Rows of the snapshot. */
void func_rows_fill(struct func *f, struct session *se, struct snapshot *s);
void func_rows_reset(struct func *f);

/* ---- func_window.c ---- */

int func_windows_init(struct func *f, struct session *se);
void func_windows_fini(struct func *f, struct session *se);
/* How much of the interval the windowed rows were seen: call it before the counts are read. */
void func_windows_account(struct func *f);
/* Throttle, detach and let go, by what was read; begin a window when one is due. */
void func_windows_tick(struct func *f, struct session *se);

/* ---- func_late.c ---- */

/* Look for libraries that are waited for between ticks too. 0 or -errno. */
int func_late_init(struct func *f, struct session *se);
void func_late_fini(struct func *f, struct session *se);
/* Libraries that came or went. */
void func_late_look(struct func *f, struct session *se);
/*
 * Processes that came, which are probed at once, for they may be gone by the next tick; and what
 * others than the first map, another program for one.
 */
void func_late_newcomers(struct func *f, struct session *se);

/* ---- func.c ---- */

/* The section's text, whenever something of it changed. */
void func_say(struct session *se, const struct func *f);

#endif
