/* SPDX-License-Identifier: Apache-2.0 */
/* loop_words.h: what held an event loop, in words. */
#ifndef PERFTOP_LOOP_WORDS_H
#define PERFTOP_LOOP_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "collectors/snapshot.h"

/* "node (tid 7) was held for 526 ms by one turn, …"; false: no loop was. */
bool loop_words(const struct snapshot *s, char *out, size_t size);

#endif
