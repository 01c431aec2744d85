/* SPDX-License-Identifier: Apache-2.0 */
/* calls_inner.h: what the files of libperftop_calls.so share. */
#ifndef PERFTOP_CALLS_INNER_H
#define PERFTOP_CALLS_INNER_H

#include <stddef.h>

#include "probes/calls.h"

#define CALLS_LOCAL  __attribute__((visibility("hidden")))
#define CALLS_EXPORT __attribute__((visibility("default")))
#define CALLS_COLD   __attribute__((noinline, cold))

/* A whole page, which the kernel empties in a forked child: there calls are passed on. */
struct calls_own {
	uint8_t gates[CALLS_STUBS];
	uint32_t counts; /* 1: not a forked child */
	uint8_t pad[4096 - CALLS_STUBS - 4];
};

extern CALLS_LOCAL struct calls_own calls_own;
extern CALLS_LOCAL uint64_t calls_originals[CALLS_STUBS];
extern CALLS_LOCAL struct calls_live calls_table[CALLS_TABLE + CALLS_PROBES];
extern CALLS_LOCAL struct calls_segment *calls_segment;

static inline struct calls_shard *calls_shard_of(struct calls_segment *seg, uint32_t i)
{
	return (struct calls_shard *)((char *)seg + CALLS_SHARDS_OFFSET) + i;
}

/* ---- calls_stub.c ---- */

extern CALLS_LOCAL const uint8_t calls_stubs[CALLS_STUBS * CALLS_STUB_BYTES];
/* Where functions return to, and the code around it: see struct calls_port. */
extern CALLS_LOCAL const uint8_t calls_return_from[], calls_return[], calls_return_at[],
	calls_return_to[];

/* ---- calls_record.c, called by the stubs: no register beyond the integer ones is touched ---- */

struct calls_entry {
	uint64_t original;
	struct calls_live *live; /* NULL: the call is not timed */
};
CALLS_LOCAL struct calls_entry calls_enter(uint32_t stub, uint64_t *word);
CALLS_LOCAL void calls_leave(struct calls_live *live, uint64_t ticks);

#endif
