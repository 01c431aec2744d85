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

static struct place placed_go(const uint8_t *code, size_t n)
{
	struct place_code body = {.vaddr = 0x1000, .bytes = code, .size = n};
	struct place p;

	place_go_function(EM_X86_64, &body, 1, OLD_KERNEL, true, &p);
	return p;
}

static void a_go_call_whose_stack_grows_is_counted_once(void **state)
{
	/* cmp 0x10(%r14),%rsp; jbe; push rbp; pop rbp; ret; …: the jump comes again, the push not
	 */
	const uint8_t code[] = {0x49, 0x3b, 0x66, 0x10, 0x76, 0x05, 0x55, 0x5d,
				0xc3, 0x90, 0x90, 0xeb, 0xf3, 0x90, 0x90, 0x90};
	/* The same without an emulated instruction behind it. */
	const uint8_t bare[] = {0x49, 0x3b, 0x66, 0x10, 0x76, 0x05, 0x31, 0xc0,
				0xc3, 0x90, 0x90, 0xeb, 0xf3, 0x90, 0x90, 0x90};
	struct place p = placed_go(code, sizeof(code));

	assert_int_equal(p.how, PLACE_MOVED);
	assert_int_equal(p.delta, 6);
	assert_int_equal(p.insn, INSN_PUSH);
	assert_false(p.returns);
	assert_false(p.loops);
	p = placed_go(bare, sizeof(bare));
	assert_int_equal(p.delta, 4);
	assert_int_equal(p.insn, INSN_JCC);
	assert_true(p.go_check);
	assert_false(p.loops);
	/* Cut short it is a function like any other. */
	for (size_t n = 0; n < sizeof(code); n++)
		assert_true(placed_go(code, n).delta < sizeof(code));
}

static int exits(const uint8_t *code, size_t n, uint64_t *out)
{
	struct place_code body = {.vaddr = 0x1000, .bytes = code, .size = n};

	return place_exits(EM_X86_64, &body, 1, out, 4);
}

static void every_way_out_of_a_function_is_found(void **state)
{
	/* test edi,edi; je 1f; ret; 1: repz ret; jmp elsewhere */
	const uint8_t code[] = {0x85, 0xff, 0x74, 0x01, 0xc3, 0xf3, 0xc3, 0xe9, 0, 1, 0, 0};
	/* je elsewhere: there also when it is not taken */
	const uint8_t maybe[] = {0x0f, 0x84, 0, 1, 0, 0, 0xc3};
	const uint8_t endless[] = {0xeb, 0xfe};
	uint64_t at[4];

	assert_int_equal(exits(code, sizeof(code), at), 3);
	assert_int_equal(at[0], 0x1004);
	assert_int_equal(at[1], 0x1005);
	assert_int_equal(at[2], 0x1007);
	assert_true(exits(maybe, sizeof(maybe), at) < 0);
	assert_true(exits(endless, sizeof(endless), at) < 0);
	assert_true(exits(code, sizeof(code) - 1, at) < 0);
	assert_true(place_exits(EM_AARCH64, NULL, 0, at, 4) < 0);
}

static bool leaf(const uint8_t *code, size_t n)
{
	struct place_code body = {.vaddr = 0x1000, .bytes = code, .size = n};

	return place_is_leaf(EM_X86_64, &body, 1);
}

static void only_what_calls_nothing_is_safe_from_exceptions(void **state)
{
	assert_true(leaf((const uint8_t[]){0x85, 0xff, 0x74, 0x01, 0xc3, 0xc3}, 6));
	assert_false(leaf((const uint8_t[]){0xe8, 0, 1, 0, 0, 0xc3}, 6));	/* call */
	assert_false(leaf((const uint8_t[]){0xff, 0xd0, 0xc3}, 3));		/* call *%rax */
	assert_false(leaf((const uint8_t[]){0xff, 0xe0}, 2));			/* jmp *%rax */
	assert_false(leaf((const uint8_t[]){0xe9, 0, 1, 0, 0}, 5));		/* jmp elsewhere */
	assert_false(leaf((const uint8_t[]){0x0f, 0x84, 0, 1, 0, 0, 0xc3}, 7)); /* je elsewhere */
	assert_false(leaf((const uint8_t[]){0x06}, 1));				/* no code */
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
		cmocka_unit_test(a_go_call_whose_stack_grows_is_counted_once),
		cmocka_unit_test(every_way_out_of_a_function_is_found),
		cmocka_unit_test(only_what_calls_nothing_is_safe_from_exceptions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
