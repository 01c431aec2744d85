/* SPDX-License-Identifier: Apache-2.0 */
/* unwind.h: user stacks without frame pointers, from registers and a copied slice of the stack. */
#ifndef PERFTOP_UNWIND_H
#define PERFTOP_UNWIND_H

#include <stddef.h>
#include <stdint.h>

#include "collectors/symbols.h"

/*
 * Frames are walked by the call frame information of the mapped files (.eh_frame, .debug_frame;
 * DWARF 5, section 6.4), of which the row for each pc is kept, and by frame pointers where there
 * is none (JIT code). Belongs to the thread that owns the symbols.
 */
struct unwinder;

/* Registers of x86-64 in DWARF order 0..16 (rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip); on
 * arm64, x0..x30, sp, pc in 0..32. Those that callees save are enough. */
enum { UNWIND_REGS = 33, UNWIND_MAX_FRAMES = 128 };
struct unwind_regs {
	uint64_t r[UNWIND_REGS];
};

enum unwind_end {
	UNWIND_COMPLETE,  /* reached the thread's start (_start, clone, or an end-of-stack rule) */
	UNWIND_TRUNCATED, /* the slice was too short, or the stack deeper than max */
	UNWIND_FAILED,	  /* no unwind rule, and the frame pointer made no sense */
};

struct unwind_stats {
	uint64_t hits, misses; /* of the cache of rows */
	uint64_t fp_frames;    /* frames walked by frame pointer */
};

struct unwinder *unwind_new(struct symbols *syms);
void unwind_free(struct unwinder *u);
void unwind_flush(struct unwinder *u); /* done by itself when symbols see mappings change */

/*
 * Walk from regs through `slice`, a copy of the `size` bytes of stack that begin at the stack
 * pointer. Writes up to max return addresses to pcs, innermost first (pcs[0] is the sampled pc;
 * the others are return addresses: look up pc - 1; the pc that a signal interrupted is given plus
 * 1, so that this holds for it too). Returns how many, sets *end.
 */
uint32_t unwind_stack(struct unwinder *u, const struct unwind_regs *regs, const void *slice,
		      size_t size, uint64_t *pcs, uint32_t max, enum unwind_end *end);

const struct unwind_stats *unwind_stats(const struct unwinder *u);

#endif
