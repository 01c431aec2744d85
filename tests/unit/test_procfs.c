/* SPDX-License-Identifier: Apache-2.0 */
/* test_procfs.c: /proc files of programs with odd names are still read right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "collectors/procfs.h"
#include "collectors/syscalls.h"
#include "probes/contract.h"

static const char line[] =
	"77 (a) b (c) S 1 77 77 0 -1 4194304 11 12 13 14 150 160 17 18 20 -5 5 0 9876 "
	"4096000 321 18446744073709551615 94 95 140700000000 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0";

static void a_name_with_spaces_and_parentheses_does_not_shift_fields(void **state)
{
	struct procfs_stat st;

	assert_int_equal(procfs_parse_stat(line, &st), 0);
	assert_string_equal(st.comm, "a) b (c");
	assert_int_equal(st.state, 'S');
	assert_int_equal(st.ppid, 1);
	assert_int_equal(st.minflt, 11);
	assert_int_equal(st.majflt, 13);
	assert_int_equal(st.utime, 150);
	assert_int_equal(st.stime, 160);
	assert_int_equal(st.nice, -5);
	assert_int_equal(st.num_threads, 5);
	assert_int_equal(st.starttime, 9876);
	assert_int_equal(st.vsize_bytes, 4096000);
	assert_int_equal(st.rss_pages, 321);
	assert_true(st.startstack == 140700000000ull);
}

static void a_cut_or_foreign_line_is_refused(void **state)
{
	struct procfs_stat st;
	char cut[sizeof(line)];

	assert_true(procfs_parse_stat("", &st) < 0);
	assert_true(procfs_parse_stat("1 (x", &st) < 0);
	assert_true(procfs_parse_stat("1 )x(", &st) < 0);
	assert_true(procfs_parse_stat("1 (x)", &st) < 0);
	for (size_t n = 0; n < sizeof(line); n++) {
		memcpy(cut, line, n);
		cut[n] = '\0';
		procfs_parse_stat(cut, &st); /* any cut: no crash */
	}
}

static void ones_own_stat_agrees_with_the_system(void **state)
{
	struct procfs_stat st;

	assert_int_equal(procfs_stat(getpid(), &st), 0);
	assert_int_equal(st.ppid, getppid());
	assert_int_equal(st.state, 'R');
	assert_int_equal(procfs_stat(-1, &st) < 0, 1);
}

static void a_field_is_found_only_at_the_start_of_a_line(void **state)
{
	const char *text = "xVmRSS: 5 kB\nVmRSS:\t  123 kB\nVmRSSx: 9 kB\n";

	assert_int_equal(procfs_field(text, "VmRSS", 7), 123);
	assert_int_equal(procfs_field(text, "VmSwap", 7), 7);
}

static void waits_are_told_apart_by_syscall(void **state)
{
	assert_int_equal(syscall_wait_class((uint32_t)syscall_nr("futex")), WAIT_FUTEX);
	assert_int_equal(syscall_wait_class((uint32_t)syscall_nr("clock_nanosleep")), WAIT_SLEEP);
	assert_int_equal(syscall_wait_class((uint32_t)syscall_nr("fsync")), WAIT_IO);
	assert_int_equal(syscall_wait_class((uint32_t)syscall_nr("read")), WAIT_RW);
	assert_int_equal(syscall_wait_class((uint32_t)syscall_nr("getpid")), WAIT_OTHER);
	assert_string_equal(syscall_name((uint32_t)syscall_nr("openat")), "openat");
	assert_int_equal(syscall_nr("no_such_call"), -1);
	assert_null(syscall_name(100000));
}

static void arguments_make_one_line_without_blanks_at_its_end(void **state)
{
	char args[] = "tail\0-f\0a b\0", title[] = "redis-server *:6379      \0\0\0\0", none[] = "";

	(void)state;
	procfs_join_args(args, sizeof(args) - 1);
	assert_string_equal(args, "tail -f a b");
	procfs_join_args(title, sizeof(title) - 1);
	assert_string_equal(title, "redis-server *:6379");
	procfs_join_args(none, 0);
	assert_string_equal(none, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_with_spaces_and_parentheses_does_not_shift_fields),
		cmocka_unit_test(a_cut_or_foreign_line_is_refused),
		cmocka_unit_test(ones_own_stat_agrees_with_the_system),
		cmocka_unit_test(a_field_is_found_only_at_the_start_of_a_line),
		cmocka_unit_test(arguments_make_one_line_without_blanks_at_its_end),
		cmocka_unit_test(waits_are_told_apart_by_syscall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
