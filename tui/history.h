/* SPDX-License-Identifier: Apache-2.0 */
/* history.h: the last few minutes of every number that is drawn as a sparkline. */
#ifndef PERFTOP_HISTORY_H
#define PERFTOP_HISTORY_H

#include <stdint.h>

#include "collectors/snapshot.h"

enum { HISTORY_POINTS = 300, HISTORY_SERIES = 2048 };

/* A ring of points; NAN where a tick had no value. */
struct series {
	float v[HISTORY_POINTS];
	uint32_t head; /* next place to write */
	uint32_t n;
	uint64_t hash;
	uint64_t last_seq; /* tick of the newest point */
};

enum history_kind {
	HISTORY_CPU,
	HISTORY_RSS,
	HISTORY_CTXSW,
	HISTORY_P99,	    /* worst recent p99 of all latency rows */
	HISTORY_LATENCY,    /* by source and name: recent p99 */
	HISTORY_SYSCALL,    /* by name and class: rate */
	HISTORY_BLOCK,	    /* by name and class: p99 of the interval */
	HISTORY_COUNTER,    /* by name: rate, or value of a gauge */
	HISTORY_KERNEL,	    /* by name and ISA: GFLOP/s */
	HISTORY_THREAD,	    /* by tid: CPU */
	HISTORY_TRAJECTORY, /* used places */
	HISTORY_HEAP	    /* by what it is of: 1 live bytes, 0 anonymous memory */
};

/* Memory is taken when a row is first seen; beyond HISTORY_SERIES the one unseen longest goes. */
struct history {
	struct series *slots[2 * HISTORY_SERIES]; /* open addressing by hash */
	uint32_t n;
	uint64_t last_seq;
};

void history_fini(struct history *h);
/* Add one point to every series that the snapshot has a value for; once a tick. */
void history_add(struct history *h, const struct snapshot *s);
/* The `sub` of a syscall's series: its class, so that read of a file is not read of a socket. */
uint32_t history_class(const struct snap_latency *l);
/* NULL when there is none. */
const struct series *history_find(const struct history *h, enum history_kind kind, const char *name,
				  uint32_t sub);
/* Point number i counted back from the newest (0); NAN when there is none. */
float series_at(const struct series *s, uint32_t back);
/* Largest of the newest n points; -INFINITY when there is none. */
float series_max(const struct series *v, uint32_t n);

#endif
