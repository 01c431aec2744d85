/* SPDX-License-Identifier: Apache-2.0 */
/* test_place.c: where a probe goes in a function, and that it then sees every call once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <string.h>

#include "collectors/place.h"

enum {
	OLD_KERNEL =
		1 << INSN_PUSH | 1 << INSN_NOP1 | 1 << INSN_JMP | 1 << INSN_JCC | 1 << INSN_CALL,
	NEW_KERNEL = OLD_KERNEL | 1 << INSN_NOP5 | 1 << INSN_NOPL,
};

static struct place placed(const uint8_t *code, size_t n, uint32_t emulated, bool want_latency)
{
	struct place_code body = {.vaddr = 0x1000, .bytes = code, .size = n};
	struct place p;

	place_function(EM_X86_64, &body, 1, emulated, want_latency, &p);
	return p;
}
#define PLACED(emulated, want, ...)                                                              \
	placed((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), emulated, \
	       want)

static void a_push_is_probed_where_it_is(void **state)
{
	struct place p = PLACED(OLD_KERNEL, false, 0x55, 0x48, 0x89, 0xe5, 0x5d, 0xc3);

	assert_int_equal(p.how, PLACE_ENTRY);
	assert_int_equal(p.delta, 0);
	assert_true(p.returns);
}

static void a_probe_moves_past_a_test_to_its_jump(void **state)
{
	/* test rdi, rdi; je +2; xor eax, eax; ret: as free begins */
	struct place p = PLACED(OLD_KERNEL, false, 0x48, 0x85, 0xff, 0x74, 0x02, 0x31, 0xc0, 0xc3);

	assert_int_equal(p.how, PLACE_MOVED);
	assert_int_equal(p.delta, 3);
	assert_int_equal(p.insn, INSN_JCC);
	assert_true(p.returns);
}

static void a_probe_does_not_move_into_a_loop(void **state)
{
	/* mov eax, 3; 1: dec eax; test eax, eax; jne 1b; ret */
	struct place p = PLACED(OLD_KERNEL, false, 0xb8, 3, 0, 0, 0, 0xff, 0xc8, 0x85, 0xc0, 0x75,
				0xfa, 0xc3);

	assert_int_equal(p.how, PLACE_STEPPED);
	assert_int_equal(p.delta, 0);
	assert_true(strstr(p.reason, "branch") != NULL);
}

static void a_jump_from_the_cold_part_keeps_the_probe_at_the_entry(void **state)
{
	const uint8_t hot[] = {0x48, 0x85, 0xff, 0x90, 0xc3};  /* test rdi, rdi; nop; ret */
	const uint8_t back[] = {0xe9, 0xfe, 0xef, 0xff, 0xff}; /* jmp 0x1003 from 0x2000 */
	struct place_code parts[] = {{0x1000, hot, sizeof(hot)}, {0x2000, back, sizeof(back)}};
	struct place p;

	place_function(EM_X86_64, parts, 1, OLD_KERNEL, false, &p);
	assert_int_equal(p.how, PLACE_MOVED);
	place_function(EM_X86_64, parts, 2, OLD_KERNEL, false, &p);
	assert_int_equal(p.how, PLACE_STEPPED);
}

static void a_moved_stack_pointer_rules_out_the_return(void **state)
{
	/* sub rsp, 24; je +0; add rsp, 24; ret */
	struct place p = PLACED(OLD_KERNEL, false, 0x48, 0x83, 0xec, 0x18, 0x74, 0x00, 0x48, 0x83,
				0xc4, 0x18, 0xc3);

	assert_int_equal(p.how, PLACE_COUNTED);
	assert_int_equal(p.delta, 4);
	assert_false(p.returns);
	p = PLACED(OLD_KERNEL, true, 0x48, 0x83, 0xec, 0x18, 0x74, 0x00, 0x48, 0x83, 0xc4, 0x18,
		   0xc3);
	assert_int_equal(p.how, PLACE_STEPPED);
	assert_int_equal(p.delta, 0);
	assert_true(p.returns);
}

static void nothing_is_measured_past_a_call_a_return_or_a_copy(void **state)
{
	/* xor eax, eax; ret; push rbp */
	assert_int_equal(PLACED(OLD_KERNEL, false, 0x31, 0xc0, 0xc3, 0x55).how, PLACE_STEPPED);
	/* call rax; push rbp */
	assert_int_equal(PLACED(OLD_KERNEL, false, 0xff, 0xd0, 0x55, 0xc3).how, PLACE_STEPPED);
	/* rep movsb; push rbp */
	assert_int_equal(PLACED(OLD_KERNEL, false, 0xf3, 0xa4, 0x55, 0xc3).how, PLACE_STEPPED);
	/* syscall; push rbp */
	assert_int_equal(PLACED(OLD_KERNEL, false, 0x0f, 0x05, 0x55, 0xc3).how, PLACE_STEPPED);
}

static void a_nop_is_used_only_where_the_kernel_emulates_it(void **state)
{
	/* endbr64; nopl; push rbp */
	struct place p = PLACED(NEW_KERNEL, false, 0xf3, 0x0f, 0x1e, 0xfa, 0x0f, 0x1f, 0x44, 0, 0,
				0x55, 0xc3);

	assert_int_equal(p.delta, 4);
	p = PLACED(OLD_KERNEL, false, 0xf3, 0x0f, 0x1e, 0xfa, 0x0f, 0x1f, 0x44, 0, 0, 0x55, 0xc3);
	assert_int_equal(p.delta, 9);
	assert_int_equal(p.insn, INSN_PUSH);
}

static void a_branch_the_kernel_refuses_is_not_chosen(void **state)
{
	/* 66 jmp rel32: refused with -ENOTSUPP */
	struct place p = PLACED(OLD_KERNEL, false, 0x66, 0xe9, 0, 0, 0, 0, 0xc3);

	assert_int_equal(p.how, PLACE_REFUSED);
}

static void bytes_that_are_no_code_do_not_move_the_probe(void **state)
{
	struct place p = PLACED(OLD_KERNEL, false, 0x06, 0x06, 0x55);

	assert_int_equal(p.how, PLACE_STEPPED);
	assert_true(p.undecoded);
	assert_int_equal(placed(NULL, 0, OLD_KERNEL, false).how, PLACE_REFUSED);
}

static void a_loop_to_the_entry_is_told(void **state)
{
	/* push rbp; pop rbp; jmp entry */
	struct place p = PLACED(OLD_KERNEL, false, 0x55, 0x5d, 0xeb, 0xfc);

	assert_int_equal(p.how, PLACE_ENTRY);
	assert_true(p.loops);
}

static void another_architecture_is_probed_at_the_entry(void **state)
{
	const uint8_t code[] = {0xfd, 0x7b, 0xbf, 0xa9};
	struct place_code body = {.vaddr = 0x1000, .bytes = code, .size = sizeof(code)};
	struct place p;

	place_function(EM_AARCH64, &body, 1, 0, false, &p);
	assert_int_equal(p.how, PLACE_ENTRY);
	assert_int_equal(p.delta, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_push_is_probed_where_it_is),
		cmocka_unit_test(a_probe_moves_past_a_test_to_its_jump),
		cmocka_unit_test(a_probe_does_not_move_into_a_loop),
		cmocka_unit_test(a_jump_from_the_cold_part_keeps_the_probe_at_the_entry),
		cmocka_unit_test(a_moved_stack_pointer_rules_out_the_return),
		cmocka_unit_test(nothing_is_measured_past_a_call_a_return_or_a_copy),
		cmocka_unit_test(a_nop_is_used_only_where_the_kernel_emulates_it),
		cmocka_unit_test(a_branch_the_kernel_refuses_is_not_chosen),
		cmocka_unit_test(bytes_that_are_no_code_do_not_move_the_probe),
		cmocka_unit_test(a_loop_to_the_entry_is_told),
		cmocka_unit_test(another_architecture_is_probed_at_the_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
