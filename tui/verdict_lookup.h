/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_lookup.h: a target that waits for the addresses of names, in one sentence. */
#ifndef PERFTOP_VERDICT_LOOKUP_H
#define PERFTOP_VERDICT_LOOKUP_H

#include <stddef.h>

#include "collectors/snapshot.h"

/*
 * Name servers take least_pct of a thread's time, by stacks that wait in libc's resolver. Returns
 * the name of the view that shows more; NULL, with nothing written: it is not so.
 */
const char *verdict_lookup(const struct snapshot *s, double least_pct, char *text, size_t size);

#endif
