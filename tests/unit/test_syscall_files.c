/* SPDX-License-Identifier: Apache-2.0 */
/* test_syscall_files.c: a call that sleeps on a file names it. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "collectors/syscall_files.h"
#include "collectors/syscalls.h"

/* A child that sleeps in flock(2) on a file, or in read(2) on a pipe. */
static pid_t sleeper(const char *path, int pipe_fd)
{
	pid_t pid = fork();
	char c;

	if (!pid) {
		if (path)
			flock(open(path, O_RDONLY | O_CLOEXEC), LOCK_EX);
		else if (read(pipe_fd, &c, 1) < 0)
			_exit(1);
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void a_call_that_sleeps_on_a_file_names_it(void **state)
{
	char path[] = "/tmp/perftop-test.file.XXXXXX";
	int held = mkstemp(path), fds[2];
	struct syscall_files *f = calloc(1, sizeof(*f));
	struct snapshot *s = snapshot_new();
	struct snap_latency row = {.count = 1};
	uint32_t nr = (uint32_t)syscall_nr("flock");

	(void)state;
	assert_non_null(f);
	assert_true(held >= 0 && !flock(held, LOCK_EX) && !pipe2(fds, O_CLOEXEC));
	s->nthreads = 2;
	s->threads[0].tid = sleeper(path, -1);
	s->threads[1].tid = sleeper(NULL, fds[0]);
	for (int i = 0; i < 500 && !row.file[0]; i++) {
		usleep(10000);
		syscall_files_look(f, s);
		syscall_files_fill(f, nr, &row);
	}
	assert_string_equal(row.file, strrchr(path, '/') + 1);
	/* The pipe is no file, and another call has not been seen on this one. */
	row.file[0] = '\0';
	syscall_files_fill(f, (uint32_t)syscall_nr("read"), &row);
	assert_string_equal(row.file, "");
	syscall_files_reset(f);
	syscall_files_fill(f, nr, &row);
	assert_string_equal(row.file, "");
	end(s->threads[0].tid);
	end(s->threads[1].tid);
	close(held);
	close(fds[0]);
	close(fds[1]);
	unlink(path);
	snapshot_free(s);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_call_that_sleeps_on_a_file_names_it)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
