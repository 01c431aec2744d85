/* SPDX-License-Identifier: Apache-2.0 */
/* sockets.h: the sockets that the target's threads wait on, by name. */
#ifndef PERFTOP_SOCKETS_H
#define PERFTOP_SOCKETS_H

#include <stdint.h>
#include <sys/types.h>

#include "collectors/snapshot.h"

struct sockets;
struct threads;

/*
 * map_fd: the `sockets` map of eBPF, which holds finished waits; borrowed. Names come from
 * /proc/PID/net of the target's network namespace, read when a new socket is waited on and at most
 * every few seconds. NULL without memory.
 */
struct sockets *sockets_new(int map_fd);
void sockets_free(struct sockets *s);

/* As locks: the finished waits before the threads are read, those that go on after. */
void sockets_read_finished(struct sockets *s);
void sockets_add_waiting(struct sockets *s, const struct threads *t);
/* The waits that go on will not be counted from their beginning again: a window is over. */
void sockets_carry(struct sockets *s);
void sockets_reset(struct sockets *s);

/* Fill snap->sockets, by time waited in the last interval; the kernel is asked about these. */
void sockets_fill(struct sockets *s, const struct threads *t, uint64_t interval_ns,
		  struct snapshot *snap);

#endif
