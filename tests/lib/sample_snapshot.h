/* SPDX-License-Identifier: Apache-2.0 */
/* sample_snapshot.h: snapshots as real targets give them, the same on every run. */
#ifndef PERFTOP_SAMPLE_SNAPSHOT_H
#define PERFTOP_SAMPLE_SNAPSHOT_H

#include "collectors/snapshot.h"

enum sample_kind {
	SAMPLE_REDIS,	/* one busy thread, a hot function, probed functions, syscalls */
	SAMPLE_LOCKS,	/* eight workers queue for one mutex */
	SAMPLE_IDLE,	/* waits in epoll_wait */
	SAMPLE_ENGINE,	/* the built-in engine: kernels, counters, a full buffer */
	SAMPLE_USER,	/* no privilege: /proc alone, reasons and fixes */
	SAMPLE_ENDED,	/* the target exited */
	SAMPLE_LEAK,	/* memory that is never freed, sampled in the process */
	SAMPLE_HOSTILE, /* longest and strangest strings, largest numbers, full tables */
	SAMPLE_KINDS
};

/* Clear s and fill it as tick number `tick` (from 1) of that target. */
void sample_snapshot_fill(struct snapshot *s, enum sample_kind kind, uint32_t tick);

const char *sample_kind_name(enum sample_kind kind);

#endif
