/* SPDX-License-Identifier: Apache-2.0 */
/* export_json.h: a snapshot as one JSON object on one line. */
#ifndef PERFTOP_EXPORT_JSON_H
#define PERFTOP_EXPORT_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "collectors/snapshot.h"

/*
 * The object, in this order:
 *
 *   schema "perftop.snapshot/1", seq, time_ns, interval_ns, since_ns, truncated, finished
 *   verdict {mood, label, text, view, also} or null
 *   target {} · sections {NAME: {status, reason, fix}} · proc {}
 *   cpu {its fields, functions [{}], stacks [{count, frames ["name (module)"]}], leaf first}
 *   cost {} · latency [] · syscalls []
 *   blocked {total_ns, by_reason {REASON: ns}, rows [], locks []}; total_ns sums by_reason
 *   threads [] · counters [] · kernels [] · alerts [] · events [] · trajectory {} or null ·
 *   learning {} or null
 *
 * Members of a row are those of snapshot_fields.c, in its order, so a new field appears by
 * itself. Enums are their names. Times are integer ns, sizes integer bytes; fractions have three
 * digits after the point (nine below 1); NaN and infinity become null. With `histograms`, rows of
 * latency and syscalls also have histogram [[low_ns, count]], one pair for each bucket in use,
 * low being the smallest value of the bucket.
 */
struct json_text {
	char *bytes; /* not NUL-terminated; ends with a newline after export_json() */
	size_t length, capacity;
	bool failed; /* out of memory */
};

/* What holds the target back, in words; whoever makes the snapshot's text finds them. Borrowed. */
struct json_verdict {
	const char *mood;  /* "good", "warn", "bad" */
	const char *label; /* "CPU-bound" */
	const char *text, *view, *also;
};

/*
 * Replaces the text; its memory is kept from call to call. verdict may be NULL. 0 or -ENOMEM.
 */
int export_json(struct json_text *out, const struct snapshot *s, const struct json_verdict *verdict,
		bool histograms);
void json_text_fini(struct json_text *out);

#endif
