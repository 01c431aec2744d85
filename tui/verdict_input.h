/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_input.h: a target that waits for what others bring it, in one sentence. */
#ifndef PERFTOP_VERDICT_INPUT_H
#define PERFTOP_VERDICT_INPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "collectors/snapshot.h"

/*
 * Who writes the pipe that it reads is slower than it is, for least_pct of a thread's time.
 * Returns the name of the view that shows more; NULL, with nothing written: it is not so.
 */
const char *verdict_input(const struct snapshot *s, double least_pct, char *text, size_t size);

/*
 * "semop for a System V semaphore": the call that it waits in for the longest, where that is
 * neither a lock, nor a network, nor a disk. Returns whether there is one.
 */
bool verdict_waits_in(const struct snapshot *s, char *text, size_t size);

/*
 * Requests that take long because it sleeps in them, for least_pct of a thread's time. The same.
 */
const char *verdict_requests(const struct snapshot *s, double least_pct, char *text, size_t size);

#endif
