/* SPDX-License-Identifier: Apache-2.0 */
/* sample_io.h: disk requests and page faults for sample snapshots. */
#ifndef PERFTOP_SAMPLE_IO_H
#define PERFTOP_SAMPLE_IO_H

#include "collectors/snapshot.h"

/* Shaped like rows that s has: latency[0] and latency[1], with their histograms. */
void sample_io_fill(struct snapshot *s);
/* Full tables of impossible figures and bad indices; `text` for every string. */
void sample_io_hostile(struct snapshot *s, const char *text);

#endif
