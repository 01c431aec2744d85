/* SPDX-License-Identifier: Apache-2.0 */
/* insn_x86.h: length and class of one x86-64 instruction, as far as placing a probe needs. */
#ifndef PERFTOP_INSN_X86_H
#define PERFTOP_INSN_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Classes that a kernel may emulate at a breakpoint come first; INSN_OTHER is always executed
 * out of line by a single step. The list follows arch/x86/kernel/uprobes.c; which of them the
 * running kernel emulates is for calibrate.h to find out.
 */
enum insn_kind {
	INSN_PUSH, /* push r64, one byte or REX.B alone */
	INSN_NOP1, /* 0x90, also 66 90 */
	INSN_NOP5, /* 0f 1f 44 00 00: newer kernels turn it into a call */
	INSN_NOPL, /* the other multi-byte nops that assemblers emit */
	INSN_JMP,  /* jmp rel */
	INSN_JCC,  /* jcc rel */
	INSN_CALL, /* call rel */
	INSN_OTHER,
	INSN_KINDS
};

struct insn {
	uint8_t len;
	enum insn_kind kind;
	bool has_target;    /* direct branch: target = address + len + rel */
	bool indirect_jump; /* through register or memory */
	bool ends;	    /* what follows is not reached from here */
	bool writes_sp;	    /* or may: errs towards true */
	bool leaves;	    /* not straight-line: call, syscall, rep, trap, branch */
	bool unattachable;  /* the kernel refuses a probe here */
	int64_t rel;
};

/*
 * Decode the instruction in code[0..n). Returns its length, or -EINVAL when the bytes are no
 * instruction that 64-bit code can hold or when it is cut off. Reads nothing past n. Covers the
 * legacy, VEX, EVEX and XOP maps (Intel SDM vol. 2, appendix A; AMD APM vol. 3, appendix A).
 */
int insn_x86_decode(const uint8_t *code, size_t n, struct insn *out);

const char *insn_kind_name(enum insn_kind kind);

#endif
