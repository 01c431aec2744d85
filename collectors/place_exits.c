/* SPDX-License-Identifier: Apache-2.0 */
/* place_exits.c: how a function is left, for what a return probe would break. */
#include <elf.h>
#include <errno.h>

#include "collectors/place.h"

enum { OPCODE_RET = 0xc3, OPCODE_RET_IMM = 0xc2, PREFIX_REP = 0xf3, PREFIX_BND = 0xf2 };

static bool is_return(const uint8_t *code, const struct insn *insn)
{
	const uint8_t *op = code;

	if (insn->len > 1 && (*op == PREFIX_REP || *op == PREFIX_BND))
		op++;
	return insn->ends && (*op == OPCODE_RET || *op == OPCODE_RET_IMM);
}

bool place_has(const struct place_code *body, uint32_t n, uint64_t vaddr)
{
	for (uint32_t i = 0; i < n; i++)
		if (vaddr >= body[i].vaddr && vaddr < body[i].vaddr + body[i].size)
			return true;
	return false;
}

/*
 * Indirect jumps are taken for jump tables, as place.c does: where one leaves the function, that
 * call has no return, which is said as one in flight.
 */
static int scan_part(const struct place_code *body, uint32_t n, uint32_t part, uint64_t *vaddrs,
		     uint32_t found, uint32_t max)
{
	const struct place_code *p = &body[part];
	struct insn insn;
	size_t at = 0;

	while (at < p->size) {
		uint64_t vaddr = p->vaddr + at, target;
		bool leaves;

		if (insn_x86_decode(p->bytes + at, p->size - at, &insn) < 0)
			return -ENOTSUP;
		target = vaddr + insn.len + (uint64_t)insn.rel;
		leaves = insn.has_target && insn.kind != INSN_CALL && !place_has(body, n, target);
		/* It is there also when it is not taken. */
		if (leaves && !insn.ends)
			return -ENOTSUP;
		if (leaves || is_return(p->bytes + at, &insn)) {
			if (found == max)
				return -E2BIG;
			vaddrs[found++] = vaddr;
		}
		at += insn.len;
	}
	return (int)found;
}

int place_exits(int machine, const struct place_code *body, uint32_t n, uint64_t *vaddrs,
		uint32_t max)
{
	int found = 0;

	if (machine != EM_X86_64)
		return -ENOTSUP;
	for (uint32_t i = 0; i < n && found >= 0; i++)
		found = scan_part(body, n, i, vaddrs, (uint32_t)found, max);
	return found ? found : -ENOTSUP;
}

bool place_is_leaf(int machine, const struct place_code *body, uint32_t n)
{
	struct insn insn;

	for (uint32_t i = 0; i < n; i++) {
		for (size_t at = 0; at < body[i].size; at += insn.len) {
			if (machine != EM_X86_64 ||
			    insn_x86_decode(body[i].bytes + at, body[i].size - at, &insn) < 0)
				return false;
			if (insn.indirect_jump || insn.kind == INSN_CALL)
				return false;
			if (insn.has_target &&
			    !place_has(body, n, body[i].vaddr + at + insn.len + (uint64_t)insn.rel))
				return false;
			/* An indirect call, or what is like one. */
			if (insn.leaves && !insn.has_target && !insn.ends)
				return false;
		}
	}
	return n > 0;
}
