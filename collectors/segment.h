/* SPDX-License-Identifier: Apache-2.0 */
/* segment.h: reads the counters that a process keeps with libperftop. */
#ifndef PERFTOP_COLLECTORS_SEGMENT_H
#define PERFTOP_COLLECTORS_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "probes/perftop_segment.h"

/*
 * The target is not trusted: whatever it writes, at whatever moment, is bounded, and text is clean
 * of control characters. A sealed segment is mapped and read in place; any other is copied by
 * pread or process_vm_readv, since its pages may vanish under a mapping.
 */
struct segment;

/* One metric, all threads summed, as of the last refresh. Owned by the segment. */
struct segment_metric {
	const char *name, *unit, *help;
	uint32_t kind;	      /* enum perftop_kind */
	int64_t value;	      /* sum of a counter, or a gauge */
	uint64_t count, sum;  /* of a histogram; count is exactly the bins added up */
	uint64_t max;	      /* exact, of those that were timed */
	uint64_t timed;	      /* of count; the others have the value of one that was */
	const uint64_t *bins; /* BUCKET_COUNT, see probes/bucket.h; NULL unless a histogram */
};

/*
 * Attach to the segment of pid and read it once. NULL with *err: -ENOENT no segment (the process
 * does not use libperftop, or has registered nothing yet), -EACCES, -ESRCH, -ENOMEM, or -EBADMSG:
 * the segment is corrupt. why says it in a sentence.
 */
struct segment *segment_attach(int pid, int *err, char *why, size_t why_size);
void segment_free(struct segment *s);

/*
 * Read what is new, once a tick. Allocates only when metrics were registered. -ESRCH: the process
 * has ended or runs another program; the values are its last. -EBADMSG: corrupt, see segment_why.
 */
int segment_refresh(struct segment *s);
const char *segment_why(const struct segment *s);

uint32_t segment_count(const struct segment *s);
const struct segment_metric *segment_metric(const struct segment *s,
					    uint32_t i); /* NULL past end */

/* As of the last refresh: refusals and losses since the process began, threads with a shard now. */
uint64_t segment_refused_metrics(const struct segment *s);
uint64_t segment_refused_threads(const struct segment *s); /* they count too, only slower */
uint64_t segment_lost(const struct segment *s);		   /* updates that found no memory */
uint32_t segment_threads(const struct segment *s);
uint64_t segment_bytes(const struct segment *s); /* of memory that the segment takes up now */

/*
 * For tests and tools: read a segment from a file or memfd, which is never mapped unless sealed.
 * Takes fd over, also on failure. No process is watched.
 */
struct segment *segment_open(int fd, int *err, char *why, size_t why_size);

#endif
