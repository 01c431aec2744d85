/* SPDX-License-Identifier: Apache-2.0 */
/* tail_keep.h: the slow calls that are worth showing, of all that left evidence. */
#ifndef PERFTOP_TAIL_KEEP_H
#define PERFTOP_TAIL_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "collectors/snapshot.h"
#include "probes/contract.h"

/* A call that was kept. */
struct tail_call {
	struct contract_tail of;
	uint64_t time_ns; /* CLOCK_REALTIME of its end */
	int32_t pid, tid;
	char wait[SNAP_NAME]; /* what its longest wait was in, see tail_wait_text() */
	char owner[48];	      /* "comm/tid" of who held the mutex, "" = not known */
	uint32_t nframes;
	uint32_t ids[SNAP_FRAMES]; /* struct symbol.id, leaf first */
};

enum {
	TAIL_KEPT = SNAP_TAILS,
	/* A minute: what was slow earlier gives way to what is slow now. */
	TAIL_FRESH_S = 60,
};

struct tail_keep {
	uint32_t n;
	struct tail_call calls[TAIL_KEPT];
};

/*
 * A place for a call of that function and length that ends now (CLOCK_MONOTONIC), or NULL when
 * those kept are worth more: each function has its share of the places, filled with the slowest of
 * the last minute; older ones stay as long as nobody needs the place. Pointers into k stay valid.
 */
struct tail_call *tail_keep_place(struct tail_keep *k, uint32_t slot, uint64_t ns, uint64_t now_ns);

#endif
