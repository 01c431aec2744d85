/* SPDX-License-Identifier: Apache-2.0 */
/* verdict.h: what holds the target back, in one sentence, from one snapshot. */
#ifndef PERFTOP_VERDICT_H
#define PERFTOP_VERDICT_H

#include <stdbool.h>

#include "collectors/snapshot.h"

enum verdict_mood { VERDICT_NONE, VERDICT_GOOD, VERDICT_WARN, VERDICT_BAD };

struct verdict {
	enum verdict_mood mood;
	char label[32]; /* "CPU-bound" */
	char text[512]; /* the numbers behind it */
	char view[16];	/* name of the view that shows more; "" if none */
	char also[256]; /* second line: a missed goal or an alert that the label does not say */
	char also_view[16];
};

/* Pure: the same snapshot gives the same words. */
void verdict_compute(struct verdict *v, const struct snapshot *s);

/* Is the alert's finding in the verdict's own words, or in its second line? */
bool verdict_says(const struct verdict *v, const struct snap_alert *a);

#endif
