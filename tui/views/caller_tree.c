/* SPDX-License-Identifier: Apache-2.0 */
/* caller_tree.c: who calls a function. */
#include "tui/views/caller_tree.h"

#include <string.h>

/* SNAP_STACKS is 64: a set of stacks is one word. */
_Static_assert(SNAP_STACKS <= 64, "a set of stacks is a uint64_t");

struct tree {
	const struct snapshot *s;
	uint32_t start[SNAP_STACKS]; /* frame of each stack that is the function */
	struct caller_line *out;
	uint32_t n, max;
};

static uint32_t frames_of(const struct snap_stack *st)
{
	return st->nframes < SNAP_FRAMES ? st->nframes : SNAP_FRAMES;
}

static bool is_symbol(const struct snapshot *s, uint32_t sym, const char *name, const char *module)
{
	return sym < s->nsymbols && !strcmp(s->symbols[sym].name, name) &&
	       !strcmp(s->symbols[sym].module, module);
}

/* The symbol `depth` frames above the function in stack i; UINT32_MAX past its end. */
static uint32_t frame_at(const struct tree *t, uint32_t i, uint32_t depth)
{
	const struct snap_stack *st = &t->s->stacks[i];
	uint32_t f = t->start[i] + depth;

	return f < frames_of(st) && st->frames[f] < t->s->nsymbols ? st->frames[f] : UINT32_MAX;
}

/* The stacks of `set` that share the heaviest symbol at depth. */
static uint64_t heaviest(const struct tree *t, uint64_t set, uint32_t depth, uint32_t *symbol,
			 uint64_t *count)
{
	uint64_t best = 0;

	*count = 0;
	for (uint32_t i = 0; i < t->s->nstacks && i < SNAP_STACKS; i++) {
		uint32_t sym = set >> i & 1 ? frame_at(t, i, depth) : UINT32_MAX;
		uint64_t same = 0, sum = 0;

		if (sym == UINT32_MAX)
			continue;
		for (uint32_t j = i; j < t->s->nstacks && j < SNAP_STACKS; j++)
			if (set >> j & 1 && frame_at(t, j, depth) == sym) {
				same |= 1ull << j;
				sum += t->s->stacks[j].count;
			}
		if (sum > *count) {
			*count = sum;
			*symbol = sym;
			best = same;
		}
	}
	return best;
}

/* Depth is bounded by SNAP_FRAMES, for every level takes one frame. */
static void grow(struct tree *t, uint64_t set, uint32_t depth, uint32_t indent)
{
	uint64_t left = set;
	bool first = true;

	while (left && t->n < t->max) {
		uint32_t symbol = 0;
		uint64_t count, some = heaviest(t, left, depth, &symbol, &count);
		uint32_t at = t->n;

		if (!some)
			return;
		left &= ~some;
		if (first && heaviest(t, left, depth, &(uint32_t){0}, &(uint64_t){0}))
			indent++;
		first = false;
		t->out[at] = (struct caller_line){symbol, indent, count};
		t->n++;
		grow(t, some, depth + 1, indent);
	}
}

uint32_t caller_tree_build(const struct snapshot *s, const char *name, const char *module,
			   struct caller_line *out, uint32_t max)
{
	struct tree t = {.s = s, .out = out, .max = max};
	uint64_t set = 0;

	for (uint32_t i = 0; i < s->nstacks && i < SNAP_STACKS; i++)
		for (uint32_t f = 0; f < frames_of(&s->stacks[i]); f++)
			/* The innermost: a recursive function's other frames are its callers. */
			if (is_symbol(s, s->stacks[i].frames[f], name, module)) {
				t.start[i] = f;
				set |= 1ull << i;
				break;
			}
	if (set)
		grow(&t, set, 0, 0);
	return t.n;
}
