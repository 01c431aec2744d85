/* SPDX-License-Identifier: Apache-2.0 */
/* text_report.h: a snapshot as a block of lines for people and grep. */
#ifndef PERFTOP_TEXT_REPORT_H
#define PERFTOP_TEXT_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "collectors/snapshot.h"

/*
 * The first line of a block has the time and the target; each line after it begins with what it
 * is about: verdict also heap cpu quota memory limit blocked function latency syscall lock counter
 * kernel learning trajectory alert event section cost. Sections that are not live are listed in the
 * first block, but for those that nobody asked for, and whenever they change, events once. An empty
 * line ends the block. Scripts had better read JSON.
 */
struct text_report {
	bool ascii;
	uint64_t last_event_ns;
	uint32_t nsections;
	struct snap_section sections[SNAP_SECTIONS]; /* as printed last */
};

/* Zero it before the first call, but for ascii. Errors of the stream are left for ferror(). */
void text_report_write(struct text_report *r, const struct snapshot *s, FILE *out);

#endif
