/* SPDX-License-Identifier: Apache-2.0 */
/* place.c: find the first emulated instruction that every call runs exactly once. */
#include "collectors/place.h"

#include <elf.h>
#include <string.h>

/* A prologue is not longer; further on the time left out would begin to matter. */
enum { PLACE_MAX_BYTES = 64 };

/* What branches into the first bytes of the function. */
struct entered {
	uint64_t lowest; /* lowest target beyond the entry, as an offset; UINT64_MAX = none */
	bool entry, indirect, undecoded;
};

static void scan_branches(const struct place_code *part, uint64_t entry, struct entered *in)
{
	struct insn insn;
	size_t at = 0;

	while (at < part->size) {
		/* Data in code: go on byte by byte, a stray branch errs towards not moving. */
		if (insn_x86_decode(part->bytes + at, part->size - at, &insn) < 0) {
			in->undecoded = true;
			at++;
			continue;
		}
		at += insn.len;
		in->indirect |= insn.indirect_jump;
		if (!insn.has_target)
			continue;
		/* A call that lands on the entry is recursion, and a call like any other. */
		uint64_t off = part->vaddr + at + (uint64_t)insn.rel - entry;

		if (!off)
			in->entry |= insn.kind != INSN_CALL;
		else if (off < PLACE_MAX_BYTES + 16 && off < in->lowest)
			in->lowest = off;
	}
}

struct walk {
	bool found, sp_moved;
	uint32_t at;
	enum insn_kind kind;
	const char *reason; /* when nothing was found */
};

/* First emulated instruction of straight-line code. */
static struct walk walk_entry(const struct place_code *body, uint32_t emulated)
{
	struct walk w = {.reason = "no emulated instruction near the entry"};
	struct insn insn;
	size_t at = 0;

	while (at < body->size && at < PLACE_MAX_BYTES) {
		if (insn_x86_decode(body->bytes + at, body->size - at, &insn) < 0) {
			w.reason = "an instruction that we do not know";
			return w;
		}
		if ((emulated & (1u << insn.kind)) && insn.kind != INSN_OTHER &&
		    !insn.unattachable) {
			w.found = true;
			w.at = (uint32_t)at;
			w.kind = insn.kind;
			return w;
		}
		if (insn.leaves || insn.ends) {
			w.reason = insn.ends ? "it ends before an emulated instruction"
					     : "it calls or branches before one";
			return w;
		}
		w.sp_moved |= insn.writes_sp;
		at += insn.len;
	}
	return w;
}

static void place_stepped(struct place *out, const struct place_code *body, const char *reason)
{
	struct insn insn;

	out->how = PLACE_STEPPED;
	out->delta = 0;
	out->insn = INSN_OTHER;
	out->returns = true;
	out->reason = reason;
	if (insn_x86_decode(body->bytes, body->size, &insn) > 0 && insn.unattachable) {
		out->how = PLACE_REFUSED;
		out->reason = "the kernel probes no such instruction";
	}
}

static void place_x86(const struct place_code *body, uint32_t n, uint32_t emulated,
		      bool want_latency, struct place *out)
{
	struct entered in = {.lowest = UINT64_MAX};
	struct walk w = walk_entry(body, emulated);

	for (uint32_t i = 0; i < n; i++)
		scan_branches(&body[i], body->vaddr, &in);
	out->loops = in.entry;
	out->jump_table = in.indirect;
	out->undecoded = in.undecoded;
	if (!w.found) {
		place_stepped(out, body, w.reason);
		return;
	}
	if (in.lowest <= w.at) {
		place_stepped(out, body, "a branch leads into its first instructions");
		return;
	}
	if (w.sp_moved && want_latency) {
		place_stepped(out, body, "the stack pointer moves before an emulated instruction");
		return;
	}
	out->delta = w.at;
	out->insn = w.kind;
	out->returns = !w.sp_moved;
	out->how = w.sp_moved ? PLACE_COUNTED : w.at ? PLACE_MOVED : PLACE_ENTRY;
	out->reason = w.sp_moved ? "the stack pointer moves before an emulated instruction" : "";
}

void place_function(int machine, const struct place_code *body, uint32_t n, uint32_t emulated,
		    bool want_latency, struct place *out)
{
	memset(out, 0, sizeof(*out));
	out->reason = "";
	if (!n || !body->size) {
		out->how = PLACE_REFUSED;
		out->reason = "its code cannot be read";
		return;
	}
	if (machine == EM_X86_64) {
		place_x86(body, n, emulated, want_latency, out);
		return;
	}
	/* Elsewhere nothing is decoded: the entry is always right, whatever it costs. */
	out->how = PLACE_ENTRY;
	out->insn = INSN_OTHER;
	out->returns = true;
	out->reason = "placed at the entry, cost not known on this architecture";
}

/*
 * cmp 0x10(%r14),%rsp; jbe …, or with lea -N(%rsp),%r12 before and r12 in the comparison: r14 is
 * the goroutine, stackguard0 its third word (Go's cmd/internal/obj/x86, stacksplit). Returns the
 * bytes they take, 0 when the function begins otherwise; *jump gets where the jump is.
 */
static size_t go_stack_check(const struct place_code *body, size_t *jump)
{
	static const uint8_t cmp_rsp[] = {0x49, 0x3b, 0x66, 0x10},
			     cmp_r12[] = {0x4d, 0x3b, 0x66, 0x10};
	const uint8_t *c = body->bytes;
	struct insn insn;
	size_t at = 0;

	if (body->size < 16)
		return 0;
	if (c[0] == 0x4c && c[1] == 0x8d && (c[2] == 0x64 || c[2] == 0xa4) && c[3] == 0x24)
		at = c[2] == 0x64 ? 5 : 8;
	if (memcmp(c + at, at ? cmp_r12 : cmp_rsp, sizeof(cmp_rsp)) != 0)
		return 0;
	at += sizeof(cmp_rsp);
	if (c[at] != 0x76 && (c[at] != 0x0f || c[at + 1] != 0x86)) /* jbe */
		return 0;
	if (insn_x86_decode(c + at, body->size - at, &insn) < 0 || insn.kind != INSN_JCC)
		return 0;
	*jump = at;
	return at + insn.len;
}

void place_go_function(int machine, const struct place_code *body, uint32_t n, uint32_t emulated,
		       bool want_latency, struct place *out)
{
	struct place_code rest;
	size_t jump = 0, skip = n && machine == EM_X86_64 ? go_stack_check(body, &jump) : 0;

	if (!skip) {
		place_function(machine, body, n, emulated, want_latency, out);
	} else {
		rest = (struct place_code){body->vaddr + skip, body->bytes + skip,
					   body->size - skip};
		place_function(machine, &rest, 1, emulated, false, out);
		out->delta += (uint32_t)skip;
		if (out->how == PLACE_ENTRY)
			out->how = PLACE_MOVED;
		/* On the jump itself, at 1/20 the cost, the flags tell whether it will be taken. */
		if ((out->how == PLACE_STEPPED || out->how == PLACE_COUNTED) &&
		    (emulated & 1u << INSN_JCC)) {
			out->how = PLACE_MOVED;
			out->delta = (uint32_t)jump;
			out->insn = INSN_JCC;
			out->go_check = true;
			out->reason = "on the jump behind the stack's check";
		}
	}
	out->returns = false;
}

const char *place_how_name(enum place_how how)
{
	static const char *const names[] = {
		[PLACE_ENTRY] = "entry",	  [PLACE_MOVED] = "moved",
		[PLACE_COUNTED] = "entry only",	  [PLACE_STEPPED] = "single-stepped",
		[PLACE_REFUSED] = "not possible",
	};

	return (unsigned int)how < sizeof(names) / sizeof(names[0]) ? names[how] : "?";
}
