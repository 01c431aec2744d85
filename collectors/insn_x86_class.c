/* SPDX-License-Identifier: Apache-2.0 */
/* insn_x86_class.c: what an instruction does to the stack pointer and to the flow of control. */
#include <string.h>

#include "collectors/insn_x86_priv.h"

/* Which operand an opcode writes: bit 0 the r/m, bit 1 the reg. Unsure means both. */
enum { DST_NONE = 0, DST_RM = 1, DST_REG = 2, DST_BOTH = 3 };

static uint32_t dst_one(const struct insn_state *s)
{
	uint8_t op = s->op, reg = (s->modrm >> 3) & 7;

	if (op < 0x40)
		return op >= 0x38 ? DST_NONE : op & 2 ? DST_REG : DST_RM;
	switch (op) {
	case 0x80:
	case 0x81:
	case 0x83:
		return reg == 7 ? DST_NONE : DST_RM;
	case 0x84:
	case 0x85:
		return DST_NONE;
	case 0x88:
	case 0x89:
	case 0x8c:
		return DST_RM;
	case 0x63:
	case 0x69:
	case 0x6b:
	case 0x8a:
	case 0x8b:
	case 0x8d:
		return DST_REG;
	case 0xf6:
	case 0xf7:
		return reg == 2 || reg == 3 ? DST_RM : DST_NONE;
	case 0xc0:
	case 0xc1:
	case 0xc6:
	case 0xc7:
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3:
	case 0xfe:
	case 0xff:
		return DST_RM;
	default:
		return op >= 0xd8 && op <= 0xdf ? DST_NONE : DST_BOTH;
	}
}

static uint32_t dst_0f(const struct insn_state *s)
{
	uint8_t op = s->op;

	if ((op >= 0x40 && op <= 0x4f) || op == 0xaf || op == 0xb6 || op == 0xb7 || op == 0xbe ||
	    op == 0xbf)
		return s->vector ? DST_NONE : DST_REG;
	if (op == 0x1e || op == 0x1f || op == 0x18 || op == 0x0d || op == 0xa3)
		return DST_NONE;
	/* Vector registers only, whatever the number: sse, mmx and their vector forms. */
	if ((op >= 0x10 && op <= 0x17) || (op >= 0x28 && op <= 0x2b) || op == 0x2e || op == 0x2f ||
	    (op >= 0x51 && op <= 0x77) || op == 0x7f || op == 0x6e || op == 0xc2 || op == 0xc4 ||
	    op == 0xc6 || (op >= 0xd0 && op != 0xd7))
		return DST_NONE;
	if (op >= 0x90 && op <= 0x9f)
		return s->vector ? DST_BOTH : DST_RM;
	return DST_BOTH;
}

static uint32_t dst_of(const struct insn_state *s)
{
	switch (s->map) {
	case MAP_ONE:
		return dst_one(s);
	case MAP_0F:
		return dst_0f(s);
	case MAP_0F38:
		/* f0..f7: movbe, crc32, the bit manipulation set. */
		return s->op >= 0xf0 && s->op <= 0xf7 ? DST_BOTH : DST_NONE;
	case MAP_0F3A:
		return (s->op >= 0x14 && s->op <= 0x17) || s->op == 0xf0 ? DST_BOTH : DST_NONE;
	default:
		return s->map >= MAP_XOP9 ? DST_BOTH : DST_NONE;
	}
}

/* Register operand 4 without its REX bit is the stack pointer (or spl; ah is taken along). */
static bool writes_sp_operand(const struct insn_state *s)
{
	uint32_t dst = s->has_modrm ? dst_of(s) : DST_NONE;

	if ((dst & DST_RM) && (s->modrm & 0xc7) == 0xc4 && !(s->rex & 1))
		return true;
	if ((dst & DST_REG) && (s->modrm & 0x38) == 0x20 && !(s->rex & 4))
		return true;
	return dst == DST_BOTH && s->vector && s->vvvv == 4;
}

static bool writes_sp_one(const struct insn_state *s)
{
	uint8_t op = s->op, reg = (s->modrm >> 3) & 7;

	if ((op >= 0x50 && op <= 0x5f) || op == 0x68 || op == 0x6a || op == 0x8f)
		return true;
	if (op == 0x9c || op == 0x9d || op == 0xc8 || op == 0xc9 || op == 0xe8 || op == 0xc2 ||
	    op == 0xc3 || op == 0xca || op == 0xcb || op == 0xcf)
		return true;
	if ((op == 0x94 || op == 0xb4 || op == 0xbc) && !(s->rex & 1))
		return true;
	return op == 0xff && (reg == 2 || reg == 3 || reg == 6);
}

bool insn_state_writes_sp(const struct insn_state *s)
{
	if (s->map == MAP_ONE && writes_sp_one(s))
		return true;
	if (s->map == MAP_0F && !s->vector) {
		if (s->op == 0xa0 || s->op == 0xa1 || s->op == 0xa8 || s->op == 0xa9)
			return true;
		if (s->op == 0xcc && !(s->rex & 1)) /* bswap esp */
			return true;
	}
	return writes_sp_operand(s);
}

/* The multi-byte nops of arch/x86/include/asm/nops.h. */
static bool is_nopl(const uint8_t *p, size_t len)
{
	static const uint8_t nops[][11] = {
		{0x0f, 0x1f, 0x00},
		{0x0f, 0x1f, 0x40, 0x00},
		{0x0f, 0x1f, 0x44, 0x00, 0x00},
		{0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
		{0x0f, 0x1f, 0x80, 0, 0, 0, 0},
		{0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
		{0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
		{0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
		{0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
	};

	return len >= 3 && len <= 11 && !memcmp(p, nops[len - 3], len);
}

enum insn_kind insn_state_kind(const struct insn_state *s, size_t len)
{
	uint8_t op = s->op;

	if (s->map == MAP_0F && !s->vector) {
		if (op >= 0x80 && op <= 0x8f && !s->nprefix)
			return INSN_JCC;
		if (op == 0x1f && is_nopl(s->code, len))
			return len == 5 ? INSN_NOP5 : INSN_NOPL;
		return INSN_OTHER;
	}
	if (s->map != MAP_ONE)
		return INSN_OTHER;
	if (op >= 0x50 && op <= 0x57 && (len == 1 || (len == 2 && s->rex == 0x41)))
		return INSN_PUSH;
	if (op == 0x90 && (len == 1 || (len == 2 && s->opsize)))
		return INSN_NOP1;
	if (s->nprefix)
		return INSN_OTHER;
	if (op >= 0x70 && op <= 0x7f)
		return INSN_JCC;
	if (op == 0xeb || op == 0xe9)
		return INSN_JMP;
	return op == 0xe8 ? INSN_CALL : INSN_OTHER;
}

void insn_state_flow(const struct insn_state *s, struct insn *out)
{
	uint8_t op = s->op, reg = (s->modrm >> 3) & 7;

	out->leaves = out->has_target;
	if (s->map == MAP_0F && !s->vector) {
		out->ends = op == 0x0b || op == 0xb9 || op == 0xff;
		/* syscall, sysret, wrmsr …, cpuid: not work to leave out of a measurement. */
		out->leaves |= out->ends || op == 0x05 || op == 0x07 || op == 0xa2 ||
			       (op >= 0x30 && op <= 0x37 && op != 0x31);
		return;
	}
	if (s->map != MAP_ONE)
		return;
	if (op == 0xff && reg >= 2 && reg <= 5) {
		out->indirect_jump = out->ends = reg >= 4;
		out->leaves = true;
	}
	if (op == 0xc2 || op == 0xc3 || op == 0xca || op == 0xcb || op == 0xcf || op == 0xf4 ||
	    op == 0xcc || op == 0xcd || op == 0xf1 || op == 0xe9 || op == 0xeb) {
		out->ends = op != 0xcd;
		out->leaves = true;
	}
	if (s->rep &&
	    ((op >= 0xa4 && op <= 0xaf && op != 0xa8 && op != 0xa9) || (op >= 0x6c && op <= 0x6f)))
		out->leaves = true;
	/* The kernel refuses branches with an operand-size prefix, and int3 itself. */
	out->unattachable = (out->has_target && s->opsize) || op == 0xcc;
}

const char *insn_kind_name(enum insn_kind kind)
{
	static const char *const names[INSN_KINDS] = {
		[INSN_PUSH] = "push", [INSN_NOP1] = "nop",    [INSN_NOP5] = "nop5",
		[INSN_NOPL] = "nopl", [INSN_JMP] = "jmp",     [INSN_JCC] = "jcc",
		[INSN_CALL] = "call", [INSN_OTHER] = "other",
	};

	return (unsigned int)kind < INSN_KINDS ? names[kind] : "?";
}
