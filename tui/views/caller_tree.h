/* SPDX-License-Identifier: Apache-2.0 */
/* caller_tree.h: who calls a function, from the snapshot's stacks. */
#ifndef PERFTOP_CALLER_TREE_H
#define PERFTOP_CALLER_TREE_H

#include <stdint.h>

#include "collectors/snapshot.h"

enum { CALLER_LINES = 512 };

struct caller_line {
	uint32_t symbol; /* index into snapshot.symbols */
	uint32_t indent;
	uint64_t count; /* samples that came through here */
};

/*
 * The function's callers as an indented tree, each level by samples; the function itself is the
 * first line. A caller alone at its level is not indented, so that a straight chain stays at the
 * left. Returns the number of lines, 0 when no stack holds the function.
 */
uint32_t caller_tree_build(const struct snapshot *s, const char *name, const char *module,
			   struct caller_line *out, uint32_t max);

#endif
