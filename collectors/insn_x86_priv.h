/* SPDX-License-Identifier: Apache-2.0 */
/* insn_x86_priv.h: what reading an instruction and classing it share. */
#ifndef PERFTOP_INSN_X86_PRIV_H
#define PERFTOP_INSN_X86_PRIV_H

#include "collectors/insn_x86.h"

enum { INSN_MAX_LEN = 15 };

/* Opcode maps, numbered as VEX and EVEX number them. */
enum { MAP_ONE = 0, MAP_0F = 1, MAP_0F38 = 2, MAP_0F3A = 3, MAP_XOP8 = 8, MAP_XOP9, MAP_XOPA };

/* An instruction while it is being decoded. */
struct insn_state {
	const uint8_t *code;
	size_t n, pos;
	bool opsize, addrsize, rep, vector; /* 66, 67, f2 or f3, VEX/EVEX/XOP */
	uint8_t rex, map, op, modrm, vvvv;
	bool has_modrm;
	uint32_t nprefix;
};

/* Complete states only. insn_x86_class.c */
bool insn_state_writes_sp(const struct insn_state *s);
enum insn_kind insn_state_kind(const struct insn_state *s, size_t len);
void insn_state_flow(const struct insn_state *s, struct insn *out);

#endif
