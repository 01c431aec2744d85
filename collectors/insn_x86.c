/* SPDX-License-Identifier: Apache-2.0 */
/* insn_x86.c: x86-64 instruction lengths by opcode map, and the few classes that matter. */
#include "collectors/insn_x86.h"

#include <errno.h>
#include <string.h>

/*
 * One letter per opcode: '.' nothing follows, 'm' ModRM, 'b' imm8, 'w' imm16, 'z' imm32 (imm16
 * with 66), 'v' immediate as wide as the operand, 'o' address, 'M' ModRM and imm8, 'Z' ModRM and
 * 'z', 'j' rel8, 'J' rel32, 'e' imm16 and imm8, 'f' and 'F' group 3, 'p' prefix or escape (never
 * looked up), 'x' invalid in 64-bit mode.
 */
static const char map_one[257] = "mmmmbzxxmmmmbzxp"
				 "mmmmbzxxmmmmbzxx"
				 "mmmmbzpxmmmmbzpx"
				 "mmmmbzpxmmmmbzpx"
				 "pppppppppppppppp"
				 "................"
				 "xxpmppppzZbM...."
				 "jjjjjjjjjjjjjjjj"
				 "MZxMmmmmmmmmmmmm"
				 "..........x....."
				 "oooo....bz......"
				 "bbbbbbbbvvvvvvvv"
				 "MMw.ppMZe.w..bx."
				 "mmmmxxx.mmmmmmmm"
				 "jjjjbbbbJJxj...."
				 "p.pp..fF......mm";

static const char map_0f[257] = "mmmmx.....x.xm.M"
				"mmmmmmmmmmmmmmmm"
				"mmmmxxxxmmmmmmmm"
				"......x.pxpxxxxx"
				"mmmmmmmmmmmmmmmm"
				"mmmmmmmmmmmmmmmm"
				"mmmmmmmmmmmmmmmm"
				"MMMMmmm.mmxxmmmm"
				"JJJJJJJJJJJJJJJJ"
				"mmmmmmmmmmmmmmmm"
				"...mMmmm...mMmmm"
				"mmmmmmmmmmMmmmmm"
				"mmMmMMMm........"
				"mmmmmmmmmmmmmmmm"
				"mmmmmmmmmmmmmmmm"
				"mmmmmmmmmmmmmmmm";

enum { INSN_MAX_LEN = 15 };

/* Opcode maps, numbered as VEX and EVEX number them. */
enum { MAP_ONE = 0, MAP_0F = 1, MAP_0F38 = 2, MAP_0F3A = 3, MAP_XOP8 = 8, MAP_XOP9, MAP_XOPA };

struct state {
	const uint8_t *code;
	size_t n, pos;
	bool opsize, addrsize, rep, vector; /* 66, 67, f2 or f3, VEX/EVEX/XOP */
	uint8_t rex, map, op, modrm, vvvv;
	bool has_modrm;
	uint32_t nprefix;
};

static int byte_next(struct state *s, uint8_t *b)
{
	if (s->pos >= s->n || s->pos >= INSN_MAX_LEN)
		return -EINVAL;
	*b = s->code[s->pos++];
	return 0;
}

static int bytes_skip(struct state *s, size_t n)
{
	if (n > s->n - s->pos || s->pos + n > INSN_MAX_LEN)
		return -EINVAL;
	s->pos += n;
	return 0;
}

static bool is_legacy_prefix(uint8_t b)
{
	return b == 0x66 || b == 0x67 || b == 0xf2 || b == 0xf3 || b == 0xf0 || b == 0x2e ||
	       b == 0x36 || b == 0x3e || b == 0x26 || b == 0x64 || b == 0x65;
}

/* Consume prefixes; leaves the first opcode byte in s->op. */
static int read_prefixes(struct state *s)
{
	uint8_t b;

	for (;;) {
		if (byte_next(s, &b))
			return -EINVAL;
		if (is_legacy_prefix(b)) {
			s->opsize |= b == 0x66;
			s->addrsize |= b == 0x67;
			s->rep |= b == 0xf2 || b == 0xf3;
			s->rex = 0; /* a REX counts only right before the opcode */
		} else if ((b & 0xf0) == 0x40) {
			s->rex = b;
		} else {
			break;
		}
		s->nprefix++;
	}
	s->op = b;
	return 0;
}

/* VEX, EVEX or XOP payload: the inverted R, X, B bits become a REX byte. */
static int read_vector_prefix(struct state *s, uint8_t lead)
{
	uint8_t p0, p1, p2;

	if (s->rex || byte_next(s, &p0))
		return -EINVAL;
	s->vector = true;
	if (lead == 0xc5) {
		s->map = MAP_0F;
		s->rex = 0x40 | (p0 & 0x80 ? 0 : 4);
		s->vvvv = (~p0 >> 3) & 15;
		return byte_next(s, &s->op);
	}
	if (byte_next(s, &p1))
		return -EINVAL;
	s->rex = 0x40 | ((~p0 >> 5) & 7) | (p1 & 0x80 ? 8 : 0);
	s->vvvv = (~p1 >> 3) & 15;
	s->map = p0 & (lead == 0x62 ? 7 : 31);
	if (lead == 0x62) {
		/* Maps 5 and 6 are AVX512-FP16; bit 3 of p0 is reserved, bit 2 of p1 is fixed. */
		if (p0 & 8 || !(p1 & 4) || byte_next(s, &p2) || !s->map || s->map == 4 ||
		    s->map == 7)
			return -EINVAL;
	} else if (lead == 0x8f) {
		if (s->map < MAP_XOP8 || s->map > MAP_XOPA)
			return -EINVAL;
	} else if (s->map < MAP_0F || s->map > MAP_0F3A) {
		return -EINVAL;
	}
	return byte_next(s, &s->op);
}

/* Find the opcode's map; leaves the opcode in s->op. */
static int read_opcode(struct state *s)
{
	uint8_t lead = s->op;

	if (lead == 0xc4 || lead == 0xc5 || lead == 0x62)
		return read_vector_prefix(s, lead);
	/* 8f is pop r/m when ModRM's reg is 0, else XOP, whose map numbers begin at 8. */
	if (lead == 0x8f && s->pos < s->n && (s->code[s->pos] & 0x1f) >= MAP_XOP8)
		return read_vector_prefix(s, lead);
	if (lead != 0x0f)
		return 0;
	if (byte_next(s, &s->op))
		return -EINVAL;
	s->map = MAP_0F;
	if (s->op == 0x38 || s->op == 0x3a) {
		s->map = s->op == 0x38 ? MAP_0F38 : MAP_0F3A;
		return byte_next(s, &s->op);
	}
	return 0;
}

static char shape_of(const struct state *s)
{
	switch (s->map) {
	case MAP_ONE:
		return map_one[s->op];
	case MAP_0F:
		if (s->vector) /* what has no ModRM in the legacy map has one here, but for 77 */
			return map_0f[s->op] == 'M' ? 'M' : s->op == 0x77 ? '.' : 'm';
		/* SSE4a's extrq and insertq carry two immediate bytes. */
		if (s->op == 0x78 && (s->opsize || s->rep))
			return 'W';
		return map_0f[s->op];
	case MAP_0F3A:
	case MAP_XOP8:
		return 'M';
	case MAP_XOPA:
		return 'Q';
	default:
		return 'm';
	}
}

static int read_modrm(struct state *s)
{
	uint8_t sib, mod, rm;

	if (byte_next(s, &s->modrm))
		return -EINVAL;
	s->has_modrm = true;
	mod = s->modrm >> 6;
	rm = s->modrm & 7;
	/* Moves to and from control and debug registers ignore mod. */
	if (mod == 3 || (s->map == MAP_0F && !s->vector && s->op >= 0x20 && s->op <= 0x23))
		return 0;
	if (rm == 4) {
		if (byte_next(s, &sib))
			return -EINVAL;
		if (mod == 0 && (sib & 7) == 5)
			return bytes_skip(s, 4);
	} else if (rm == 5 && mod == 0) {
		return bytes_skip(s, 4);
	}
	return mod == 1 ? bytes_skip(s, 1) : mod == 2 ? bytes_skip(s, 4) : 0;
}

static int read_rel(struct state *s, struct insn *out, size_t n)
{
	const uint8_t *p = s->code + s->pos;
	int32_t v;

	if (bytes_skip(s, n))
		return -EINVAL;
	if (n == 1) {
		out->rel = (int8_t)p[0];
	} else {
		memcpy(&v, p, sizeof(v));
		out->rel = v;
	}
	out->has_target = true;
	return 0;
}

static int read_operands(struct state *s, struct insn *out)
{
	char shape = shape_of(s);
	bool wide = s->rex & 8;
	size_t z = s->opsize && !wide ? 2 : 4;

	if (strchr("mMZWQfF", shape) && read_modrm(s))
		return -EINVAL;
	switch (shape) {
	case '.':
	case 'm':
		return 0;
	case 'b':
	case 'M':
		return bytes_skip(s, 1);
	case 'w':
	case 'W':
		return bytes_skip(s, 2);
	case 'e':
		return bytes_skip(s, 3);
	case 'z':
	case 'Z':
		return bytes_skip(s, z);
	case 'Q':
		return bytes_skip(s, 4);
	case 'v':
		return bytes_skip(s, wide ? 8 : z);
	case 'o':
		return bytes_skip(s, s->addrsize ? 4 : 8);
	case 'j':
		return read_rel(s, out, 1);
	case 'J': /* 66 is ignored here, as Intel does and as no compiler emits */
		return read_rel(s, out, 4);
	case 'f':
		return (s->modrm & 0x30) ? 0 : bytes_skip(s, 1);
	case 'F':
		return (s->modrm & 0x30) ? 0 : bytes_skip(s, z);
	default:
		return -EINVAL;
	}
}

/* Which operand an opcode writes: bit 0 the r/m, bit 1 the reg. Unsure means both. */
enum { DST_NONE = 0, DST_RM = 1, DST_REG = 2, DST_BOTH = 3 };

static uint32_t dst_one(const struct state *s)
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

static uint32_t dst_0f(const struct state *s)
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

static uint32_t dst_of(const struct state *s)
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
static bool writes_sp_operand(const struct state *s)
{
	uint32_t dst = s->has_modrm ? dst_of(s) : DST_NONE;

	if ((dst & DST_RM) && (s->modrm & 0xc7) == 0xc4 && !(s->rex & 1))
		return true;
	if ((dst & DST_REG) && (s->modrm & 0x38) == 0x20 && !(s->rex & 4))
		return true;
	return dst == DST_BOTH && s->vector && s->vvvv == 4;
}

static bool writes_sp_one(const struct state *s)
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

static bool writes_sp(const struct state *s)
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

static enum insn_kind classify(const struct state *s, size_t len)
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

static void classify_flow(const struct state *s, struct insn *out)
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

int insn_x86_decode(const uint8_t *code, size_t n, struct insn *out)
{
	struct state s = {.code = code, .n = n};

	memset(out, 0, sizeof(*out));
	if (read_prefixes(&s) || read_opcode(&s) || read_operands(&s, out))
		return -EINVAL;
	out->len = (uint8_t)s.pos;
	out->kind = classify(&s, s.pos);
	out->writes_sp = writes_sp(&s);
	classify_flow(&s, out);
	return out->len;
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
