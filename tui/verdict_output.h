/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_output.h: a target that could go on if what it wrote were taken, in one sentence. */
#ifndef PERFTOP_VERDICT_OUTPUT_H
#define PERFTOP_VERDICT_OUTPUT_H

#include <stddef.h>

#include "collectors/snapshot.h"

/*
 * The reader of its pipe or connection is slower than it is, for least_pct of a thread's time.
 * Returns the name of the view that shows more; NULL, with nothing written: it is not so.
 */
const char *verdict_output(const struct snapshot *s, double least_pct, char *text, size_t size);

/* What a call mostly works on, as its rows say: "file", "pipe" ...; "" if it did not return yet. */
const char *verdict_works_on(const struct snapshot *s, const char *call);

#endif
