/* SPDX-License-Identifier: Apache-2.0 */
/* unwind_row.c: rows of call frame information, from elfutils. */
#include "collectors/unwind_row.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Where a register's value is, as a location description of libdw says. */
enum place { IN_REGISTER, LOST, AT_CFA, AT_REG, ELSEWHERE };

static bool to_units(int64_t bytes, int16_t *units)
{
	if (bytes % 8 || bytes / 8 <= INT16_MIN || bytes / 8 > INT16_MAX)
		return false;
	*units = (int16_t)(bytes / 8);
	return true;
}

/* Register and offset of a one-operation address, breg or bregx. */
static bool op_is_breg(const Dwarf_Op *op, unsigned *reg, int64_t *offset)
{
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31) {
		*reg = op->atom - DW_OP_breg0;
		*offset = (int64_t)op->number;
		return true;
	}
	if (op->atom == DW_OP_bregx) {
		*reg = (unsigned)op->number;
		*offset = (int64_t)op->number2;
		return *reg < REG_COUNT;
	}
	return false;
}

static enum place place_of(Dwarf_Frame *frame, int regno, unsigned *reg, int16_t *units)
{
	Dwarf_Op mem[3], *ops = NULL;
	int64_t offset = 0;
	size_t n = 0;

	if (dwarf_frame_register(frame, regno, mem, &ops, &n))
		return ELSEWHERE;
	if (!n)
		return ops ? LOST : IN_REGISTER;
	/* An expression begins with the CFA on the stack, whether it uses it or not. */
	if (n == 2 && ops[0].atom == DW_OP_call_frame_cfa && op_is_breg(&ops[1], reg, &offset))
		return to_units(offset, units) ? AT_REG : ELSEWHERE;
	if (ops[0].atom == DW_OP_call_frame_cfa) {
		/* A third operation would make it a value and not a place. */
		if (n > 2 || (n == 2 && ops[1].atom != DW_OP_plus_uconst))
			return ELSEWHERE;
		return to_units(n == 2 ? (int64_t)ops[1].number : 0, units) ? AT_CFA : ELSEWHERE;
	}
	return ELSEWHERE;
}

/*
 * The procedure linkage table of x86-64, as linkers describe it: CFA = rsp + 8, and 8 more once
 * the stub has pushed, that is from byte 11 (or 10) of its 16 on.
 */
static bool cfa_is_plt(const Dwarf_Op *o, size_t n, struct unwind_row *row)
{
	static const uint8_t rest[] = {DW_OP_lit15, DW_OP_and};
	static const uint8_t tail[] = {DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus};

	if (n != 9 || o[0].atom != DW_OP_breg7 || o[1].atom != DW_OP_breg16 ||
	    o[4].atom < DW_OP_lit0 || o[4].atom > DW_OP_lit31)
		return false;
	for (size_t i = 0; i < sizeof(rest); i++)
		if (o[2 + i].atom != rest[i])
			return false;
	for (size_t i = 0; i < sizeof(tail); i++)
		if (o[5 + i].atom != tail[i])
			return false;
	row->kind = ROW_PLT;
	row->cfa_reg = REG_SP;
	row->offset = (int32_t)o[0].number;
	row->ra = (int16_t)(o[4].atom - DW_OP_lit0);
	for (int i = 0; i < REG_SAVED; i++)
		row->saved[i] = PLACE_SAME;
	return true;
}

/* The return address is the value of the expression in probes/calls_stub.c: it begins so. */
static bool ra_is_in_table(Dwarf_Frame *frame, struct unwind_row *row)
{
	static const uint8_t begin[] = {
		DW_OP_call_frame_cfa, DW_OP_breg16, DW_OP_const2s,	  DW_OP_and,	DW_OP_dup,
		DW_OP_deref_size,     DW_OP_plus,   DW_OP_breg0 + REG_SP, DW_OP_const8u};
	enum { PAGE_AT = 2, WORD_AT = 7 };
	Dwarf_Op mem[3], *ops = NULL;
	size_t n = 0;

	if (REG_RA != 16 || dwarf_frame_register(frame, REG_RA, mem, &ops, &n) || n < sizeof(begin))
		return false;
	for (size_t i = 0; i < sizeof(begin); i++)
		if (ops[i].atom != begin[i])
			return false;
	if ((int64_t)ops[PAGE_AT].number != -4096)
		return false;
	row->kind = ROW_TABLE;
	row->offset = (int32_t)ops[WORD_AT].number;
	return true;
}

static bool row_read_cfa(Dwarf_Frame *frame, struct unwind_row *row)
{
	Dwarf_Op *ops;
	int64_t offset;
	unsigned reg;
	size_t n;

	if (dwarf_frame_cfa(frame, &ops, &n) || !n)
		return false;
	if (cfa_is_plt(ops, n, row))
		return true;
	if (!op_is_breg(&ops[0], &reg, &offset) || offset != (int32_t)offset)
		return false;
	if (n == 1)
		row->kind = ROW_FRAME;
	else if (n == 2 && ops[1].atom == DW_OP_deref)
		row->kind = ROW_FRAME_DEREF;
	else
		return false;
	row->cfa_reg = (uint8_t)reg;
	row->offset = (int32_t)offset;
	return true;
}

/* Signal trampolines tell where each register was put, counted from sp. */
static void row_read_signal(Dwarf_Frame *frame, struct unwind_row *row,
			    struct unwind_signal *signal)
{
	unsigned reg;

	for (int i = 0; i < REG_COUNT; i++) {
		signal->at[i] = PLACE_SAME;
		if (place_of(frame, i, &reg, &signal->at[i]) != AT_REG || reg != REG_SP)
			signal->at[i] = PLACE_SAME;
	}
	if (signal->at[REG_PC] != PLACE_SAME && signal->at[REG_SP] != PLACE_SAME)
		row->kind = ROW_SIGNAL;
}

static void row_read_saved(Dwarf_Frame *frame, struct unwind_row *row)
{
	for (int i = 0; i < REG_SAVED; i++) {
		unsigned reg = 0;

		switch (place_of(frame, reg_saved[i], &reg, &row->saved[i])) {
		case AT_CFA:
			break;
		case AT_REG:
			if (reg == REG_FP) {
				row->from_fp |= (uint16_t)(1u << i);
				break;
			}
			/* fall through */
		default:
			row->saved[i] = PLACE_SAME;
		}
	}
}

static void row_read_frame(Dwarf_Frame *frame, struct unwind_row *row, struct unwind_signal *signal)
{
	unsigned reg;

	switch (place_of(frame, REG_RA, &reg, &row->ra)) {
	case LOST:
		row->kind = ROW_END;
		return;
	case AT_REG:
		row_read_signal(frame, row, signal);
		return;
	case IN_REGISTER:
		/* On x86-64 the return address is nowhere but on the stack. */
		if (REG_RA == REG_PC) {
			row->kind = ROW_END;
			return;
		}
		row->ra = PLACE_SAME;
		break;
	case AT_CFA:
		break;
	default:
		ra_is_in_table(frame, row);
		return;
	}
	if (!row_read_cfa(frame, row))
		row->kind = ROW_NONE;
	else if (row->kind != ROW_PLT)
		row_read_saved(frame, row);
}

void unwind_row_read(struct Dwarf_CFI_s *cfi, uint64_t vaddr, struct unwind_row *row,
		     struct unwind_signal *signal)
{
	Dwarf_Frame *frame;

	row->kind = ROW_NONE;
	row->from_fp = 0;
	if (dwarf_cfi_addrframe(cfi, vaddr, &frame))
		return;
	row_read_frame(frame, row, signal);
	free(frame);
}
