/* SPDX-License-Identifier: Apache-2.0 */
/* test_syscall_class.c: which system calls are told apart by what they work on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "collectors/syscalls.h"
#include "probes/contract.h"

static uint32_t class_of(const char *name)
{
	int nr = syscall_nr(name);

	assert_true(nr >= 0);
	return syscall_fd_class((uint32_t)nr);
}

static void calls_on_any_descriptor_are_looked_up(void **state)
{
	static const char *const calls[] = {"read",  "write",	  "pread64", "writev",
					    "lseek", "ioctl",	  "fsync",   "getdents64",
					    "fcntl", "ftruncate", "dup2",    "pwritev2"};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		assert_int_equal(class_of(calls[i]), FD_OF_ARGUMENT);
}

static void a_closed_descriptor_is_looked_up_before_it_is_gone(void **state)
{
	assert_int_equal(class_of("close"), FD_OF_ARGUMENT_CLOSED);
}

static void calls_of_sockets_need_no_look(void **state)
{
	assert_int_equal(class_of("recvfrom"), FD_SOCKET);
	assert_int_equal(class_of("sendmsg"), FD_SOCKET);
	assert_int_equal(class_of("accept4"), FD_SOCKET);
}

/* Their first argument is something else: a number that happens to be open says nothing. */
static void other_first_arguments_are_no_descriptors(void **state)
{
	static const char *const calls[] = {"mmap",  "poll",	 "futex",      "openat",
					    "brk",   "kill",	 "pipe",       "unlink",
					    "mkdir", "truncate", "close_range"};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		assert_int_equal(class_of(calls[i]), FD_NONE);
	assert_int_equal(syscall_fd_class(UINT32_MAX), FD_NONE);
}

static void every_class_has_a_word_of_its_own(void **state)
{
	assert_string_equal(fd_class_name(FD_NONE), "");
	assert_string_equal(fd_class_name(CONTRACT_FD_CLASSES), "");
	for (uint32_t a = FD_FILE; a <= FD_OTHER; a++) {
		assert_true(strlen(fd_class_name(a)) > 2);
		for (uint32_t b = a + 1; b <= FD_OTHER; b++)
			assert_string_not_equal(fd_class_name(a), fd_class_name(b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_on_any_descriptor_are_looked_up),
		cmocka_unit_test(a_closed_descriptor_is_looked_up_before_it_is_gone),
		cmocka_unit_test(calls_of_sockets_need_no_look),
		cmocka_unit_test(other_first_arguments_are_no_descriptors),
		cmocka_unit_test(every_class_has_a_word_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
