/* SPDX-License-Identifier: Apache-2.0 */
/* wait_site.h: what kind of lock a stack waits for, and which function of the program waits. */
#ifndef PERFTOP_WAIT_SITE_H
#define PERFTOP_WAIT_SITE_H

#include <stdbool.h>
#include <stdint.h>

#include "collectors/symbols.h"

/*
 * site: the first frame that is not part of a thread library; where that is a lock of a language or
 * a server built on one (Python's GIL, PostgreSQL's LWLock), `via` is it and `site` who asked for
 * it. Indices into the frames, UINT32_MAX = none.
 */
struct wait_site {
	const char *kind; /* "mutex", "condvar", "GIL" …; "futex" when the stack does not tell */
	uint32_t site, via;
	bool condvar; /* what is slept on is a condition variable, whatever is built on it */
};

void wait_site_find(const struct symbol *frames, uint32_t n, struct wait_site *out);

/*
 * The same of a wait that is on no futex (reason: enum blocked_reason): a lock of PostgreSQL or
 * SQLite, or on a file. False when it is none of these.
 */
bool wait_site_find_told(const struct symbol *frames, uint32_t n, uint32_t reason,
			 struct wait_site *out);

/*
 * Is a function "foo (inlined)" a lock's own, or a language's library's around it? Its caller is
 * the place in the program.
 */
bool wait_site_is_inlined_library(const char *name);

/* This kind serves as a lock in some programs and in others is what idle workers wait on. */
bool wait_site_may_be_lock(const char *kind);

/* Who waits for this kind would run if he could; else he may be idle. */
bool wait_site_is_lock(const char *kind);

#endif
