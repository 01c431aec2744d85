/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.h: every kind of probe tried on this machine, with reasons and fixes. */
#ifndef PERFTOP_DOCTOR_H
#define PERFTOP_DOCTOR_H

#include <stdint.h>
#include <stdio.h>

#include "collectors/snapshot.h"

struct session;

/* What doctor probes in its subject: a function that the engine's threads call all the time, and
 * the engine's own marker. */
#define DOCTOR_FUNCTION "libc.so.6:clock_nanosleep"
#define DOCTOR_MARKER	"usdt:*:engine:query"

/*
 * Watch the running session's subject, the built-in engine, for some two seconds and print one
 * line a part: what works and what it saw, what does not, why, and the command that mends it.
 * Returns 0 when everything works, 1 when not, -errno when the subject could not be watched.
 */
int doctor_run(struct session *se, FILE *out);

/* Calls and markers that rows of this source have counted. */
uint64_t doctor_count(const struct snapshot *s, enum latency_source source);

#endif
