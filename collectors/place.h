/* SPDX-License-Identifier: Apache-2.0 */
/* place.h: where in a function a probe costs least and still sees every call. */
#ifndef PERFTOP_PLACE_H
#define PERFTOP_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectors/insn_x86.h"

/*
 * A probe is a trap. The kernel emulates a few instructions at it (push, nop, jmp, jcc, call) and
 * executes any other out of line by a single step, at about twenty times the cost in a virtual
 * machine. So the probe moves along straight-line code from the entry to the first instruction
 * that is emulated, provided that no branch enters between. While the stack pointer has not
 * moved, the return address is still on top and a return probe is right.
 */
enum place_how {
	PLACE_ENTRY,   /* the first instruction is emulated */
	PLACE_MOVED,   /* a later one is, the stack pointer is intact: latency is right */
	PLACE_COUNTED, /* a later one is, but the stack pointer moved: entries are counted only */
	PLACE_STEPPED, /* at the entry, single-stepped */
	PLACE_REFUSED, /* nowhere */
};

struct place_code {
	uint64_t vaddr;
	const uint8_t *bytes;
	size_t size;
};

struct place {
	enum place_how how;
	enum insn_kind insn; /* instruction under the probe */
	uint32_t delta;	     /* bytes from the entry */
	bool returns;	     /* a return probe can go with it */
	bool loops;	     /* a branch leads back to the entry: rounds count as calls */
	bool go_check;	 /* on Go's jump for a stack that has to grow: then the call comes again */
	bool jump_table; /* indirect jumps, taken as not leading into the first bytes */
	bool undecoded;	 /* part of the body is no code that we know */
	const char *reason; /* why not at the entry at emulated cost; "" when it is. Static. */
};

/*
 * Place a probe in the function body[0]; body[1..n) are its out-of-line parts (NAME.cold).
 * `emulated` is calibrate.h's mask. With want_latency, where only entries could be counted
 * cheaply, the single step is taken. Never fails: out->how says what can be done.
 */
void place_function(int machine, const struct place_code *body, uint32_t n, uint32_t emulated,
		    bool want_latency, struct place *out);

/*
 * The same for a function of a Go program, which no return probe may be put on: its stack is copied
 * when it grows. Its first instructions look whether the stack has room, and come again when it had
 * none: the probe goes behind them, or on their jump. out->how is PLACE_COUNTED where the stack
 * pointer is not what it was at the entry.
 */
void place_go_function(int machine, const struct place_code *body, uint32_t n, uint32_t emulated,
		       bool want_latency, struct place *out);

/*
 * File addresses of the instructions that leave the function for good: returns, and jumps to other
 * functions. At each the stack pointer is what it was at the entry. Returns how many, or -errno:
 * -ENOTSUP where that cannot be told, -E2BIG with more than max.
 */
int place_exits(int machine, const struct place_code *body, uint32_t n, uint64_t *vaddrs,
		uint32_t max);

/* Does the address lie in one of its parts? */
bool place_has(const struct place_code *body, uint32_t n, uint64_t vaddr);

/* Does it call nothing, nor jump away? Then nothing can be thrown through it. */
bool place_is_leaf(int machine, const struct place_code *body, uint32_t n);

const char *place_how_name(enum place_how how);

#endif
