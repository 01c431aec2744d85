/* SPDX-License-Identifier: Apache-2.0 */
/* turns.h: how long answers take, the target's own and those that it waits for. */
#ifndef PERFTOP_TURNS_H
#define PERFTOP_TURNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectors/snapshot.h"

struct session;
struct turns;

/*
 * Rows of snap->latency, of source "socket": "requests to :6379" is the time from data read to data
 * sent on connections made to the target, "answers of 10.0.0.5:5432" from data sent to data read on
 * those that it made. They come from the system calls that are timed: see probes/turn.bpf.h for
 * what they take for one request. TCP, Unix sockets, and UDP to one other end; not io_uring.
 * Returns NULL with *why.
 */
struct turns *turns_new(struct session *se, char *why, size_t why_size);
void turns_free(struct turns *t);

/* Calls begin to be timed, after some that were not. */
void turns_begin(struct turns *t);

/*
 * timed_ns: how much of the interval calls were timed for; all: none has gone untimed since the
 * start. 0 keeps rates and recent quantiles of the last time, and says so. Returns true when
 * connections from before it was watched can be told from now on: a time to look at them.
 */
bool turns_tick(struct turns *t, struct session *se, uint64_t timed_ns, bool all,
		struct snapshot *s);
void turns_reset(struct turns *t);

#endif
