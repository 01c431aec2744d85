/* SPDX-License-Identifier: Apache-2.0 */
/* calls.h: what libperftop_calls.so, which times calls inside a process, shares with its reader. */
#ifndef PERFTOP_CALLS_H
#define PERFTOP_CALLS_H

#include <stdint.h>

#include "probes/contract.h"

/*
 * perftop points the words through which a program's modules call a function (GOT slots) at a stub
 * of the library. The stub notes the time and the return address in a table by the address of the
 * stack word that holds it, and calls the function from there: the stack is where it was, so that
 * arguments on it, of any number, are. The function returns into the library, which counts and goes
 * on to the caller. Call and return stay paired for the CPU, and for a shadow stack.
 *
 * What lives beside the stack words of the table needs no order among calls: recursion, threads,
 * coroutines and signal handlers each have words of their own, and those that longjmp() and
 * exceptions left behind are overwritten when the stack comes there again. The unwind table of the
 * return point finds the caller in the same table, so exceptions and backtraces pass.
 *
 * Counts are in a memfd, one shard a thread written without locks, and outlive the process while a
 * reader has them mapped. Nothing is allocated and nothing waits in a call.
 */
#define CALLS_PORT_SYMBOL  "perftop_calls_port"
#define CALLS_SEGMENT_NAME "perftop-calls"
#define CALLS_MAGIC	   0x314c4c4143465250ull /* "PRFCALL1", little-endian; written last */
#define CALLS_VERSION	   1u
#define CALLS_LAUNCHER	   "PERFTOP_CALLS_LAUNCHER" /* in the environment: pid whose child is meant */

enum {
	CALLS_STUBS = 512,
	CALLS_STUB_BYTES = 32,
	CALLS_SHARDS = 64, /* the last one is shared by the threads that found no other */
	CALLS_TABLE = 65536,
	CALLS_PROBES = 8, /* places of the table where a stack word may be */
	CALLS_CHAIN = 7,  /* tail calls that can follow one another on one stack word */
};

/* Its call has returned: with the word that it was of, so that unwinders may know who called. */
#define CALLS_FREE (1ull << 63)

/* Of a call under way. The table is private memory: a forked child has its own. */
struct calls_live {
	uint64_t key;	 /* address of the stack word, + n for the nth tail call; 0 or CALLS_FREE */
	uint64_t caller; /* the return address that was there */
	uint64_t begin;	 /* by the CPU's time stamp counter */
	uint32_t stub;	 /* index */
	uint16_t epoch;	 /* of struct calls_segment when it began */
	uint16_t chained; /* tail calls on the same word */
};

struct calls_hist {
	struct contract_hist h;
	uint64_t pad[4]; /* to whole cache lines */
};

struct calls_shard {
	struct calls_hist hists[CALLS_STUBS];
};

struct calls_segment {
	uint64_t magic;
	uint32_t version, pid; /* as the process sees itself */
	uint64_t total_bytes;
	uint64_t call_ticks;  /* that a call through a stub takes beyond the call itself */
	uint64_t floor_ticks; /* of it, what an empty function is measured as */
	uint64_t pad[3];
	/* Written by the reader, on a line of their own. */
	uint64_t ns_per_tick; /* 32 bits after the point */
	uint64_t until_ticks; /* no reader since then: pass calls on */
	uint64_t reader_ns;   /* CLOCK_MONOTONIC when it was last here */
	uint32_t epoch;	      /* calls that began in another are not counted */
	uint32_t reader;      /* its pid */
	uint64_t pad2[4];
	/* Written by the library. */
	__u64 untimed;		       /* calls counted but not timed: no place in the table */
	uint64_t owners[CALLS_SHARDS]; /* whose a shard is: the thread's own address */
	/* Bit by stub: what the shard has of it is there. Reading more would make it take memory.
	 */
	uint64_t used[CALLS_SHARDS][CALLS_STUBS / 64];
};

#define CALLS_SHARDS_OFFSET 8192ull
#define CALLS_SEGMENT_BYTES (CALLS_SHARDS_OFFSET + CALLS_SHARDS * sizeof(struct calls_shard))

/* What the reader needs to know of the library, exported as CALLS_PORT_SYMBOL. */
struct calls_port {
	uint32_t version, size;
	int32_t error;	    /* 0, or -errno: it could not start */
	int32_t fd;	    /* of the segment; the program may have closed it */
	uint64_t segment;   /* address; 0: it was not made */
	uint64_t stubs;	    /* CALLS_STUBS of CALLS_STUB_BYTES each */
	uint64_t originals; /* uint64_t[CALLS_STUBS]: the functions */
	uint64_t gates;	    /* uint8_t[CALLS_STUBS]: 1 counted, 0 passed on */
	uint64_t table;	    /* struct calls_live[CALLS_TABLE + CALLS_PROBES] */
	/* Code in which the return address is in the table alone: of the word at sp - 8 from the
	 * first address on, at sp + 24 from the second. */
	uint64_t return_from, return_at, return_to;
};

static inline uint64_t calls_place(uint64_t word)
{
	return word * 0x9e3779b97f4a7c15ull >> 48;
}

_Static_assert(sizeof(struct calls_live) == 32, "the stub counts on it");
_Static_assert(sizeof(struct calls_hist) % 64 == 0, "histograms share no cache line");
_Static_assert(sizeof(struct calls_segment) <= CALLS_SHARDS_OFFSET, "the header fits");

#endif
