/* SPDX-License-Identifier: Apache-2.0 */
/* unwind_row.h: what the call frame information says at one pc, in 32 bytes. */
#ifndef PERFTOP_UNWIND_ROW_H
#define PERFTOP_UNWIND_ROW_H

#include <stdint.h>

struct Dwarf_CFI_s;

/* DWARF numbers of the registers that matter, and of those that a callee gives back. */
#ifdef __aarch64__
enum { REG_SP = 31, REG_FP = 29, REG_RA = 30, REG_PC = 32, REG_COUNT = 33, REG_SAVED = 12 };
static const uint8_t reg_saved[REG_SAVED] = {19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30};
#else
enum { REG_SP = 7, REG_FP = 6, REG_RA = 16, REG_PC = 16, REG_COUNT = 17, REG_SAVED = 6 };
static const uint8_t reg_saved[REG_SAVED] = {3, 6, 12, 13, 14, 15};
#endif

enum row_kind {
	ROW_EMPTY,
	ROW_FRAME,	 /* CFA = reg + offset */
	ROW_FRAME_DEREF, /* CFA = *(reg + offset): functions that realign their stack */
	ROW_PLT,	 /* CFA = sp + offset + 8 if (pc & 15) >= limit */
	ROW_TABLE,  /* the return address is in a table: probes/calls.h; by the word at sp + offset
		     */
	ROW_SIGNAL, /* all registers lie at fixed places from sp, see unwind_signal */
	ROW_END,    /* the outermost frame */
	ROW_NONE,   /* nothing is known: try the frame pointer */
};

/* Places are in units of 8 bytes. */
enum { PLACE_SAME = INT16_MIN };

struct unwind_row {
	uint64_t pc;
	uint8_t kind, cfa_reg;
	uint16_t from_fp; /* bit i: saved[i] counts from the frame pointer, not from the CFA */
	int32_t offset;	  /* of the CFA; ROW_SIGNAL: which unwind_signal */
	int16_t ra;	  /* from the CFA; PLACE_SAME: in its register. ROW_PLT: the limit */
	int16_t saved[REG_SAVED];
};

/* A signal frame: where each register is, from sp. */
struct unwind_signal {
	int16_t at[REG_COUNT];
};

/*
 * Read the row for a vaddr. ROW_NONE when there is none, or none that fits. *signal is filled when
 * the kind is ROW_SIGNAL.
 */
void unwind_row_read(struct Dwarf_CFI_s *cfi, uint64_t vaddr, struct unwind_row *row,
		     struct unwind_signal *signal);

#endif
