/* SPDX-License-Identifier: Apache-2.0 */
/* blocked_reasons.h: what the threads wait for, in words and by reason. */
#ifndef PERFTOP_BLOCKED_REASONS_H
#define PERFTOP_BLOCKED_REASONS_H

#include "tui/ui.h"

/* One row a reason, as far as r holds them. Returns the rows used. */
int blocked_reasons_draw(const struct snapshot *s, struct surface *surface, struct rect r);

/* Which lock is waited for most, or who idles: a sentence, "" when there is nothing to say. */
void blocked_reasons_words(const struct snapshot *s, char *out, size_t size);

#endif
