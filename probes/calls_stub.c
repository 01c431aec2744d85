/* SPDX-License-Identifier: Apache-2.0 */
/* calls_stub.c: the way into a function and out of it again, and how unwinders pass there. */
#include "probes/calls_inner.h"

#ifdef __x86_64__

/* The assembler knows no enumerations. */
#define CALLS_STUB_COUNT  512
#define CALLS_PROBE_COUNT 8
_Static_assert(CALLS_STUB_COUNT == CALLS_STUBS, "as many stubs as there are");
_Static_assert(CALLS_PROBE_COUNT == CALLS_PROBES, "and as many places");

#define TEXT(x)	     TEXT_(x)
#define TEXT_(x)     #x
#define HIDDEN(name) ".globl " name "\n.hidden " name "\n"

/* clang-format off */

/*
 * The return address is in calls_table, not on the stack. As a DWARF expression, with the stack
 * word that it belongs to at rsp + `sleb`: the page of code begins with the distance to the table;
 * then calls_place(), and up to CALLS_PROBES entries of 32 bytes: found where the key is the word.
 * An expression has no bounds of its own, so the probes are written out. 0 ends the stack.
 *
 *	breg16 0, const2s -4096, and, dup, deref_size 4, plus,
 *	breg7 sleb, const8u 0x9e3779b97f4a7c15, mul, const1u 48, shr, lit5, shl, plus,
 *	8 times: dup, deref, breg7 sleb, eq, bra found, plus_uconst 32,
 *	drop, lit0, skip end, found: plus_uconst 8, deref, end:
 */
#define PROBE(sleb, far) ".cfi_escape 0x12,0x06,0x77," sleb ",0x29,0x28," far ",0x00,0x23,0x20\n"
#define CALLER_IN_TABLE(sleb)                                                                      \
	".cfi_escape 0x16,0x10,0x74\n" /* val_expression of column 16, 116 bytes */                \
	".cfi_escape 0x80,0x00,0x0b,0x00,0xf0,0x1a,0x12,0x94,0x04,0x22\n"                          \
	".cfi_escape 0x77," sleb ",0x0e,0x15,0x7c,0x4a,0x7f,0xb9,0x79,0x37,0x9e\n"                 \
	".cfi_escape 0x1e,0x08,0x30,0x25,0x35,0x24,0x22\n"                                         \
	PROBE(sleb, "0x4d") PROBE(sleb, "0x43") PROBE(sleb, "0x39") PROBE(sleb, "0x2f")            \
	PROBE(sleb, "0x25") PROBE(sleb, "0x1b") PROBE(sleb, "0x11") PROBE(sleb, "0x07")            \
	".cfi_escape 0x13,0x30,0x2f,0x03,0x00,0x23,0x08,0x06\n"

#define PUSH(r) "push %" r "\n.cfi_adjust_cfa_offset 8\n"
#define POP(r)	"pop %" r "\n.cfi_adjust_cfa_offset -8\n"
#define SAVE                                                                                       \
	PUSH("rax") PUSH("rdi") PUSH("rsi") PUSH("rdx") PUSH("rcx") PUSH("r8") PUSH("r9") PUSH("r10")
#define RESTORE                                                                                    \
	POP("r10") POP("r9") POP("r8") POP("rcx") POP("rdx") POP("rsi") POP("rdi") POP("rax")

/*
 * Called as the function is, from anywhere: all registers but r11 and the flags are kept. A stub is
 *	cmpb $0, its gate; je pass; mov $index, %r11d; jmp calls_common; pass: jmp *its original
 */
__asm__(".text\n"
	".p2align 6\n"
	HIDDEN("calls_stubs")
	".type calls_stubs,@function\n"
	"calls_stubs:\n"
	".cfi_startproc\n"
	".set calls_i,0\n"
	".rept " TEXT(CALLS_STUB_COUNT) "\n"
	".p2align 5\n"
	"	cmpb $0,calls_own+calls_i(%rip)\n"
	"	je 1f\n"
	"	mov $calls_i,%r11d\n"
	"	jmp calls_common\n"
	"1:	jmp *calls_originals+8*calls_i(%rip)\n"
	".set calls_i,calls_i+1\n"
	".endr\n"
	".cfi_endproc\n"
	".size calls_stubs,.-calls_stubs\n");

/*
 * The function is called with the stack as the caller left it, in place of its return address one
 * of ours, and returns to calls_return. The frame between is one that no function has: unwinders
 * tell frames apart by their CFA, so it is odd here, and the stack pointer is given by itself.
 */
__asm__(".text\n"
	".p2align 12\n"
	"calls_page: .long calls_table-calls_page\n"
	".p2align 6\n"
	".type calls_common,@function\n"
	"calls_common:\n"
	".cfi_startproc\n"
	SAVE
	"	mov %r11d,%edi\n"
	"	lea 64(%rsp),%rsi\n"
	"	call calls_enter\n"
	"	mov %rax,%r11\n"
	"	test %rdx,%rdx\n"
	"	jz 1f\n"
	"	mov %rdx,%r10\n"
	"	rdtsc\n"
	"	shl $32,%rdx\n"
	"	or %rdx,%rax\n"
	"	mov %rax,16(%r10)\n"
	".cfi_remember_state\n"
	RESTORE
	"	add $8,%rsp\n"
	HIDDEN("calls_return_from")
	"calls_return_from:\n"
	".cfi_escape 0x0f,0x02,0x77,0x7f\n" /* CFA: rsp - 1 */
	".cfi_escape 0x16,0x07,0x02,0x77,0x00\n" /* rsp: itself */
	CALLER_IN_TABLE("0x78")
	"	call *%r11\n"
	HIDDEN("calls_return")
	"calls_return:\n"
	"	lea -32(%rsp),%rsp\n"
	HIDDEN("calls_return_at")
	"calls_return_at:\n"
	".cfi_def_cfa rsp,32\n"
	".cfi_restore rsp\n"
	CALLER_IN_TABLE("0x18")
	"	mov %rax,(%rsp)\n"
	"	mov %rdx,8(%rsp)\n"
	"	rdtsc\n"
	"	shl $32,%rdx\n"
	"	mov %rax,%rsi\n"
	"	or %rdx,%rsi\n"
	"	lea 24(%rsp),%rcx\n"
	"	movabs $0x9e3779b97f4a7c15,%rax\n"
	"	imul %rcx,%rax\n"
	"	shr $48,%rax\n"
	"	shl $5,%rax\n"
	"	lea calls_table(%rip),%rdi\n"
	"	add %rax,%rdi\n"
	"	mov $" TEXT(CALLS_PROBE_COUNT) ",%eax\n"
	"2:	cmp %rcx,(%rdi)\n"
	"	je 3f\n"
	"	add $32,%rdi\n"
	"	dec %eax\n"
	"	jnz 2b\n"
	"	ud2\n" /* it returned twice: nobody knows where to */
	"3:	mov 8(%rdi),%rax\n"
	"	mov %rax,24(%rsp)\n"
	HIDDEN("calls_return_to")
	"calls_return_to:\n"
	".cfi_offset rip,-8\n"
	"	call calls_leave\n"
	"	mov (%rsp),%rax\n"
	"	mov 8(%rsp),%rdx\n"
	"	add $24,%rsp\n"
	".cfi_adjust_cfa_offset -24\n"
	"	ret\n"
	".cfi_restore_state\n"
	"1:\n"
	RESTORE
	"	jmp *%r11\n"
	".cfi_endproc\n"
	".size calls_common,.-calls_common\n");
/* clang-format on */

#endif
