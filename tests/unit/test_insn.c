/* SPDX-License-Identifier: Apache-2.0 */
/* test_insn.c: instruction lengths and classes, against encodings from assembler listings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "collectors/insn_x86.h"

struct sample {
	const char *text;
	uint8_t len, code[15];
	enum insn_kind kind;
};

static const struct sample samples[] = {
	{"push rbp", 1, {0x55}, INSN_PUSH},
	{"push r15", 2, {0x41, 0x57}, INSN_PUSH},
	{"push rax with REX.W", 2, {0x48, 0x50}, INSN_OTHER},
	{"nop", 1, {0x90}, INSN_NOP1},
	{"xchg ax, ax", 2, {0x66, 0x90}, INSN_NOP1},
	{"xchg r8, rax", 2, {0x49, 0x90}, INSN_OTHER},
	{"nop dword 5", 5, {0x0f, 0x1f, 0x44, 0, 0}, INSN_NOP5},
	{"nop dword 3", 3, {0x0f, 0x1f, 0}, INSN_NOPL},
	{"nop word 9", 9, {0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}, INSN_NOPL},
	{"nop dword [rcx], not of the kernel's", 3, {0x0f, 0x1f, 1}, INSN_OTHER},
	{"endbr64", 4, {0xf3, 0x0f, 0x1e, 0xfa}, INSN_OTHER},
	{"jmp rel8", 2, {0xeb, 0x10}, INSN_JMP},
	{"jmp rel32", 5, {0xe9, 1, 2, 3, 4}, INSN_JMP},
	{"je rel8", 2, {0x74, 0x10}, INSN_JCC},
	{"je rel32", 6, {0x0f, 0x84, 1, 2, 3, 4}, INSN_JCC},
	{"jrcxz", 2, {0xe3, 0x10}, INSN_OTHER},
	{"call rel32", 5, {0xe8, 1, 2, 3, 4}, INSN_CALL},
	{"call rax", 2, {0xff, 0xd0}, INSN_OTHER},
	{"mov rdi, rsp", 3, {0x48, 0x89, 0xe7}, INSN_OTHER},
	{"movabs rax", 10, {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8}, INSN_OTHER},
	{"mov eax, moffs64", 9, {0xa1, 1, 2, 3, 4, 5, 6, 7, 8}, INSN_OTHER},
	{"mov eax, moffs32", 6, {0x67, 0xa1, 1, 2, 3, 4}, INSN_OTHER},
	{"mov word [rdi], imm16", 5, {0x66, 0xc7, 0x07, 1, 2}, INSN_OTHER},
	{"mov qword [rsp+rax*8+disp32], imm32",
	 12,
	 {0x48, 0xc7, 0x84, 0xc4, 1, 2, 3, 4, 5, 6, 7, 8},
	 INSN_OTHER},
	{"lea rax, [rip+disp32]", 7, {0x48, 0x8d, 0x05, 1, 2, 3, 4}, INSN_OTHER},
	{"mov eax, [disp32]", 7, {0x8b, 0x04, 0x25, 1, 2, 3, 4}, INSN_OTHER},
	{"cmp dword fs:[0x18], 0", 9, {0x64, 0x83, 0x3c, 0x25, 0x18, 0, 0, 0, 0}, INSN_OTHER},
	{"test dword [rdi], imm32", 6, {0xf7, 0x07, 1, 2, 3, 4}, INSN_OTHER},
	{"neg dword [rdi]", 2, {0xf7, 0x1f}, INSN_OTHER},
	{"test byte [rdi], imm8", 3, {0xf6, 0x07, 1}, INSN_OTHER},
	{"enter", 4, {0xc8, 1, 2, 3}, INSN_OTHER},
	{"ret imm16", 3, {0xc2, 1, 2}, INSN_OTHER},
	{"pshufd", 5, {0x66, 0x0f, 0x70, 0xc1, 0x1b}, INSN_OTHER},
	{"pshufb", 5, {0x66, 0x0f, 0x38, 0x00, 0xc1}, INSN_OTHER},
	{"palignr", 6, {0x66, 0x0f, 0x3a, 0x0f, 0xc1, 8}, INSN_OTHER},
	{"vzeroupper", 3, {0xc5, 0xf8, 0x77}, INSN_OTHER},
	{"vpxor xmm", 4, {0xc5, 0xf9, 0xef, 0xc0}, INSN_OTHER},
	{"vpshufd ymm", 5, {0xc5, 0xfd, 0x70, 0xc0, 0x4e}, INSN_OTHER},
	{"vperm2i128", 6, {0xc4, 0xe3, 0x7d, 0x46, 0xc0, 1}, INSN_OTHER},
	{"vmovdqu64 zmm, [rsi]", 6, {0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x06}, INSN_OTHER},
	{"vpternlogq zmm, imm8", 7, {0x62, 0xf3, 0xfd, 0x48, 0x25, 0xc0, 0xff}, INSN_OTHER},
	{"rep movsb", 2, {0xf3, 0xa4}, INSN_OTHER},
	{"lock cmpxchg [rdi], edx", 4, {0xf0, 0x0f, 0xb1, 0x17}, INSN_OTHER},
	{"call with data16 and REX.W, as for TLS",
	 8,
	 {0x66, 0x66, 0x48, 0xe8, 1, 2, 3, 4},
	 INSN_OTHER},
	{"extrq xmm, imm8, imm8", 6, {0x66, 0x0f, 0x78, 0xc0, 1, 2}, INSN_OTHER},
	{"ud2", 2, {0x0f, 0x0b}, INSN_OTHER},
};

static void every_encoding_has_its_length_and_kind(void **state)
{
	struct insn insn;

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		const struct sample *s = &samples[i];
		int len = insn_x86_decode(s->code, sizeof(s->code), &insn);

		if (len != s->len || insn.kind != s->kind)
			fail_msg("%s: length %d, kind %s", s->text, len, insn_kind_name(insn.kind));
	}
}

static void an_instruction_cut_short_is_refused(void **state)
{
	struct insn insn;

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		for (uint8_t n = 0; n < samples[i].len; n++)
			if (insn_x86_decode(samples[i].code, n, &insn) >= 0)
				fail_msg("%s cut to %u bytes", samples[i].text, n);
}

static bool writes_sp(size_t n, const uint8_t *code)
{
	struct insn insn;

	assert_int_equal(insn_x86_decode(code, n, &insn), n);
	return insn.writes_sp;
}
#define WRITES_SP(...) \
	writes_sp(sizeof((const uint8_t[]){__VA_ARGS__}), (const uint8_t[]){__VA_ARGS__})

static void a_moved_stack_pointer_is_noticed(void **state)
{
	assert_true(WRITES_SP(0x48, 0x83, 0xec, 0x18));	       /* sub rsp, 24 */
	assert_true(WRITES_SP(0x48, 0x81, 0xec, 0, 1, 0, 0));  /* sub rsp, 256 */
	assert_true(WRITES_SP(0x48, 0x83, 0xe4, 0xf0));	       /* and rsp, -16 */
	assert_true(WRITES_SP(0x48, 0x89, 0xec));	       /* mov rsp, rbp */
	assert_true(WRITES_SP(0x48, 0x8b, 0xe5));	       /* the same, other form */
	assert_true(WRITES_SP(0x48, 0x8d, 0x64, 0x24, 0x80));  /* lea rsp, [rsp-128] */
	assert_true(WRITES_SP(0x48, 0x94));		       /* xchg rsp, rax */
	assert_true(WRITES_SP(0x48, 0x87, 0xe0));	       /* xchg rax, rsp */
	assert_true(WRITES_SP(0x58));			       /* pop rax */
	assert_true(WRITES_SP(0x6a, 0));		       /* push 0 */
	assert_true(WRITES_SP(0xff, 0x37));		       /* push [rdi] */
	assert_true(WRITES_SP(0xc9));			       /* leave */
	assert_true(WRITES_SP(0x48, 0x0f, 0x44, 0xe0));	       /* cmove rsp, rax */
	assert_true(WRITES_SP(0xc4, 0xe2, 0xd8, 0xf3, 0xc8));  /* blsr rsp, rax */
	assert_false(WRITES_SP(0x48, 0x89, 0xe5));	       /* mov rbp, rsp */
	assert_false(WRITES_SP(0x49, 0x83, 0xec, 0x18));       /* sub r12, 24 */
	assert_false(WRITES_SP(0x48, 0x83, 0xfc, 0x18));       /* cmp rsp, 24 */
	assert_false(WRITES_SP(0x48, 0x39, 0xe0));	       /* cmp rax, rsp */
	assert_false(WRITES_SP(0x48, 0x8d, 0x44, 0x24, 0x08)); /* lea rax, [rsp+8] */
	assert_false(WRITES_SP(0x48, 0x89, 0x5c, 0x24, 0x08)); /* mov [rsp+8], rbx */
	assert_false(WRITES_SP(0x66, 0x0f, 0xef, 0xe4));       /* pxor xmm4, xmm4 */
	assert_false(WRITES_SP(0x0f, 0x28, 0xe0));	       /* movaps xmm4, xmm0 */
}

static void a_branch_knows_where_it_goes(void **state)
{
	const uint8_t back[] = {0x75, 0xfa}, far[] = {0x0f, 0x84, 0x00, 0x01, 0, 0};
	const uint8_t table[] = {0xff, 0x24, 0xc5, 0, 0, 0, 0};
	struct insn insn;

	insn_x86_decode(back, sizeof(back), &insn);
	assert_true(insn.has_target && !insn.ends);
	assert_int_equal(insn.rel, -6);
	insn_x86_decode(far, sizeof(far), &insn);
	assert_int_equal(insn.rel, 256);
	insn_x86_decode(table, sizeof(table), &insn);
	assert_true(insn.indirect_jump && insn.ends && !insn.has_target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_encoding_has_its_length_and_kind),
		cmocka_unit_test(an_instruction_cut_short_is_refused),
		cmocka_unit_test(a_moved_stack_pointer_is_noticed),
		cmocka_unit_test(a_branch_knows_where_it_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
