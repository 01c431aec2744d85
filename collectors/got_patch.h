/* SPDX-License-Identifier: Apache-2.0 */
/* got_patch.h: pointing the words that lead to a function, in all modules, somewhere else. */
#ifndef PERFTOP_GOT_PATCH_H
#define PERFTOP_GOT_PATCH_H

#include "collectors/inject_modules.h"

/*
 * The words are those that the loader filled: jump slots, and words relocated to a function's
 * address (calls of code built with -fno-plt, tables of function pointers). A word is written only
 * when it still holds what the loader put there, in one aligned store of 8 bytes, so threads that
 * call through it meanwhile see the one address or the other.
 */
struct got_patch_row {
	const char *name;
	uint64_t from;	  /* 0: this row is left alone */
	uint64_t to;	  /* 0: its words are counted, and stay as they are */
	bool several;	  /* functions have this name: what is not bound yet may be another */
	uint32_t slots;	  /* out: words that lead to `to` now */
	uint32_t unbound; /* out: that may be bound to it yet */
};

struct got_patch_count {
	uint32_t slots, modules; /* that lead to `to` now, of these rows */
	uint32_t written;	 /* by this call */
	uint32_t foreign;	 /* that lead to neither */
};

/*
 * Patch modules [first, n) but the loader, and `skip` (an address of a struct link_map). Jump slots
 * that are not bound yet are patched when `lazy`. Adds to *count. 0, or -errno of the first write
 * that failed: what was written stays.
 */
int got_patch_apply(const struct inject_modules *m, pid_t pid, uint32_t first, uint64_t skip,
		    struct got_patch_row *rows, uint32_t nrows, bool lazy,
		    struct got_patch_count *count);

#endif
