/* SPDX-License-Identifier: Apache-2.0 */
/* calls_priv.h: what the files that implement calls_stubs.h share. */
#ifndef PERFTOP_CALLS_PRIV_H
#define PERFTOP_CALLS_PRIV_H

#include "collectors/calls_stubs.h"
#include "collectors/got_patch.h"
#include "probes/calls.h"

enum { CALLS_NO_STUB = -1 };

struct calls_function {
	uint64_t address;
	int stub; /* or CALLS_NO_STUB */
	uint32_t words;
	bool refused; /* there was no stub left */
};

/* A moment by two clocks. */
struct calls_moment {
	uint64_t ticks, ns;
};

struct calls {
	pid_t pid;
	const char *library;
	bool preloaded, hooked;
	struct inject_result loaded;
	struct calls_port port; /* as read: bounds are checked where they are used */
	uint64_t port_at, library_map;
	struct calls_segment *segment; /* the process writes there too: read once, and doubt */
	struct calls_moment began;
	uint8_t open[CALLS_STUBS];

	/* A function gets a stub when a word leads to it, and keeps it for as long as the process
	 * lives: what was copied from a word may be called at any time. */
	uint64_t originals[CALLS_STUBS];
	struct calls_function *functions;
	uint32_t nfunctions;
	/* Names by which words may lead to them. */
	struct got_patch_row *rows;
	uint32_t *row_function;
	uint32_t nrows;
	bool unbound; /* words are not bound yet, and it is not known to what they will be */
	uint64_t debug, seen; /* of the loader's list: see inject_loader_seen() */
};

/* ---- calls_segment.c ---- */

struct calls_moment calls_now(void);
/* 0, or -ENOTSUP with why: the CPU's counter is no clock. */
int calls_check_clock(char *why, size_t why_size);
/* Map it, or -errno with why. */
int calls_segment_attach(struct calls *c, char *why, size_t why_size);
void calls_segment_detach(struct calls *c);
/* Its clock's rate, counts from zero, and that somebody reads. */
void calls_segment_begin(struct calls *c);
/* False: it had given up on us. */
bool calls_segment_renew(struct calls *c, uint64_t interval_ns);

#endif
