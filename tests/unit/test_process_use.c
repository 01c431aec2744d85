/* SPDX-License-Identifier: Apache-2.0 */
/* test_process_use.c: what several processes used, while they come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "collectors/process_use.h"
#include "collectors/procfs.h"
#include "probes/contract.h"

static void test_a_dip_is_made_up_first(void **state)
{
	struct use_mark m = {.at = 100};

	(void)state;
	assert_int_equal(process_use_growth(&m, 150), 50);
	/* A process was seen to have gone before its end was counted. */
	assert_int_equal(process_use_growth(&m, 90), 0);
	assert_int_equal(process_use_growth(&m, 170), 20);
}

static void test_what_never_comes_is_given_up(void **state)
{
	struct use_mark m = {.at = 1000};

	(void)state;
	assert_int_equal(process_use_growth(&m, 10), 0);
	assert_int_equal(process_use_growth(&m, 20), 0);
	assert_int_equal(process_use_growth(&m, 30), 0);
	assert_int_equal(process_use_growth(&m, 75), 45);
}

static void test_ended_ones_by_their_ticks(void **state)
{
	struct contract_ended before = {.cpu_ns = 1000, .utime = 4000, .minflt = 7};
	struct contract_ended now = {.cpu_ns = 3000, .utime = 5000, .stime = 3000, .minflt = 9};
	struct process_use out;

	(void)state;
	process_use_ended(&before, &now, &out);
	assert_int_equal(out.user_ns, 500);
	assert_int_equal(out.sys_ns, 1500);
	assert_int_equal(out.minflt, 2);
	assert_int_equal(before.cpu_ns, 3000);
}

static void test_programs_loaded_anew_count_from_zero(void **state)
{
	struct contract_ended before = {.cpu_ns = 5000, .utime = 5000, .minflt = 70};
	struct contract_ended now = {.cpu_ns = 100, .utime = 100, .minflt = 3};
	struct process_use out;

	(void)state;
	process_use_ended(&before, &now, &out);
	assert_int_equal(out.user_ns, 100);
	assert_int_equal(out.minflt, 3);
}

static void test_children_by_who_waited_for_them(void **state)
{
	struct procfs_stat st;
	struct process_use out;

	(void)state;
	assert_int_equal(procfs_parse_stat("7 (sh) S 1 7 7 0 -1 4194304 10 300 0 2 5 6 70 80 20 0 "
					   "1 0 100 4096 5 18446744073709551615",
					   &st),
			 0);
	process_use_of_stat(&st, 10000000, true, &out);
	assert_int_equal(out.user_ns, 750000000);
	assert_int_equal(out.sys_ns, 860000000);
	assert_int_equal(out.minflt, 310);
	process_use_of_stat(&st, 10000000, false, &out);
	assert_int_equal(out.user_ns, 50000000);
	assert_int_equal(out.majflt, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_dip_is_made_up_first),
		cmocka_unit_test(test_what_never_comes_is_given_up),
		cmocka_unit_test(test_ended_ones_by_their_ticks),
		cmocka_unit_test(test_programs_loaded_anew_count_from_zero),
		cmocka_unit_test(test_children_by_who_waited_for_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
