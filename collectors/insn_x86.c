/* SPDX-License-Identifier: Apache-2.0 */
/* insn_x86.c: x86-64 instruction lengths by opcode map. */
#include <errno.h>
#include <string.h>

#include "collectors/insn_x86_priv.h"

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

static int byte_next(struct insn_state *s, uint8_t *b)
{
	if (s->pos >= s->n || s->pos >= INSN_MAX_LEN)
		return -EINVAL;
	*b = s->code[s->pos++];
	return 0;
}

static int bytes_skip(struct insn_state *s, size_t n)
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
static int read_prefixes(struct insn_state *s)
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
static int read_vector_prefix(struct insn_state *s, uint8_t lead)
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
static int read_opcode(struct insn_state *s)
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

static char shape_of(const struct insn_state *s)
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

static int read_modrm(struct insn_state *s)
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

static int read_rel(struct insn_state *s, struct insn *out, size_t n)
{
	const uint8_t *p = s->code + s->pos;
	int32_t v;

	if (bytes_skip(s, n))
		return -EINVAL;
	if (n == 1) {
		out->rel = p[0] < 0x80 ? p[0] : (int64_t)p[0] - 0x100;
	} else {
		memcpy(&v, p, sizeof(v));
		out->rel = v;
	}
	out->has_target = true;
	return 0;
}

static int read_operands(struct insn_state *s, struct insn *out)
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

int insn_x86_decode(const uint8_t *code, size_t n, struct insn *out)
{
	struct insn_state s = {.code = code, .n = n};

	memset(out, 0, sizeof(*out));
	if (read_prefixes(&s) || read_opcode(&s) || read_operands(&s, out))
		return -EINVAL;
	out->len = (uint8_t)s.pos;
	out->kind = insn_state_kind(&s, s.pos);
	out->writes_sp = insn_state_writes_sp(&s);
	insn_state_flow(&s, out);
	return out->len;
}
