/* SPDX-License-Identifier: Apache-2.0 */
/* test_session.c: a session on a live process: bad targets, exit, stop, exec, fork, reset. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "collectors/session.h"

struct fixture {
	struct session *se;
	pid_t child;
};

/* Runs a script; its shell has started, with its libraries, when this returns. */
static pid_t spawn(const char *script)
{
	char text[256], byte;
	int started[2];
	pid_t pid;

	assert_int_equal(pipe(started), 0);
	snprintf(text, sizeof(text), "echo >&9; exec 9>&-; %s", script);
	pid = fork();
	if (!pid) {
		dup2(started[1], 9);
		close(started[0]);
		close(started[1]);
		execl("/bin/sh", "sh", "-c", text, (char *)NULL);
		_exit(127);
	}
	close(started[1]);
	assert_int_equal(read(started[0], &byte, 1), 1);
	close(started[0]);
	return pid;
}

static struct session *watch_with(pid_t pid, const char *probe)
{
	struct session_config cfg = {
		.pid = pid,
		.interval_ns = 50000000,
		.sample_hz = 99,
		.offcpu = true,
		.syscalls = SYSCALL_AUTO,
		.probes = {probe},
		.nprobes = probe ? 1 : 0,
	};
	char why[256];
	int err;
	struct session *se = session_new(&cfg, &err, why, sizeof(why));

	assert_non_null(se);
	assert_int_equal(session_start(se), 0);
	return se;
}

static struct session *watch(pid_t pid)
{
	return watch_with(pid, NULL);
}

/* The next snapshot; gives up after a hundred seconds. */
static const struct snapshot *next(struct session *se)
{
	for (int i = 0; i < 1000; i++) {
		struct pollfd p = {.fd = session_eventfd(se), .events = POLLIN};
		const struct snapshot *s;

		poll(&p, 1, 100);
		s = session_snapshot(se);
		if (s)
			return s;
	}
	fail_msg("no snapshot came");
	return NULL;
}

static bool has_event(const struct snapshot *s, const char *text)
{
	for (uint32_t i = 0; i < s->nevents; i++)
		if (strstr(s->events[i].text, text))
			return true;
	return false;
}

/* Ticks until some event says so. */
static const struct snapshot *until_event(struct session *se, const char *text)
{
	for (int i = 0; i < 100; i++) {
		const struct snapshot *s = next(se);

		if (has_event(s, text))
			return s;
		if (s->finished)
			break;
	}
	fail_msg("no event: %s", text);
	return NULL;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	session_free(f->se);
	if (f->child > 0) {
		kill(f->child, SIGKILL);
		waitpid(f->child, NULL, 0);
	}
	free(f);
	return 0;
}

static void refused(pid_t pid, const char *text)
{
	struct session_config cfg = {.pid = pid, .interval_ns = 1000000000};
	char why[256];
	int err = 0;

	assert_null(session_new(&cfg, &err, why, sizeof(why)));
	assert_true(err < 0);
	assert_non_null(strstr(why, text));
}

static void a_wrong_pid_is_refused_with_the_reason(void **state)
{
	struct fixture *f = *state;

	refused(getpid(), "perftop itself");
	refused(999999999, "no process");
	refused(2, "kernel thread");
	f->child = spawn("exit 0");
	usleep(200000); /* a zombie now: it is not reaped before the end */
	refused(f->child, "has exited");
}

static void live_numbers_come_with_each_tick(void **state)
{
	struct fixture *f = *state;
	const struct snapshot *s;
	uint64_t seq;

	f->child = spawn("while :; do :; done");
	f->se = watch(f->child);
	s = next(f->se);
	seq = s->seq;
	assert_int_equal(s->target.pid, f->child);
	assert_int_equal(s->target.state, TARGET_RUNNING);
	assert_true(s->proc.rss_bytes > 0);
	s = next(f->se);
	assert_true(s->seq > seq);
	assert_true(s->interval_ns > 0);
	assert_true(s->nsections >= 6);
	for (uint32_t i = 0; i < s->nsections; i++)
		if (s->sections[i].status != SECTION_LIVE)
			assert_true(s->sections[i].reason[0]);
}

static void the_targets_exit_ends_the_view_with_its_last_numbers(void **state)
{
	struct fixture *f = *state;
	const struct snapshot *s;

	f->child = spawn("exec sleep 100");
	f->se = watch(f->child);
	next(f->se);
	kill(f->child, SIGKILL);
	s = until_event(f->se, "has exited");
	assert_int_equal(s->finished, 1);
	assert_int_equal(s->target.state, TARGET_EXITED);
	assert_true(s->proc.rss_bytes > 0);
	assert_true(s->nthreads > 0);
}

static void a_stopped_target_is_said_to_be_stopped(void **state)
{
	struct fixture *f = *state;
	const struct snapshot *s;

	f->child = spawn("while :; do sleep 0.01; done");
	f->se = watch(f->child);
	next(f->se);
	kill(f->child, SIGSTOP);
	s = until_event(f->se, "is stopped");
	assert_int_equal(s->target.state, TARGET_STOPPED);
	kill(f->child, SIGCONT);
	s = until_event(f->se, "goes on");
	assert_int_equal(s->target.state, TARGET_RUNNING);
}

static void an_exec_is_followed(void **state)
{
	struct fixture *f = *state;
	const struct snapshot *s;

	f->child = spawn("sleep 0.4; exec sleep 100");
	f->se = watch(f->child);
	until_event(f->se, "ran execve");
	s = next(f->se);
	assert_string_equal(s->target.comm, "sleep");
	assert_int_equal(s->finished, 0);
}

static void a_probe_is_found_again_after_an_exec(void **state)
{
	struct fixture *f = *state;

	if (geteuid()) {
		assert_null(getenv("PERFTOP_REQUIRE_BPF"));
		skip();
	}
	f->child = spawn("sleep 0.4; exec cat /dev/zero >/dev/null");
	f->se = watch_with(f->child, "libc.so.6:write");
	until_event(f->se, "ran execve");
	for (int i = 0; i < 40; i++) {
		const struct snapshot *s = next(f->se);

		if (s->nlatency == 1 && s->latency[0].count > 0 && !strcmp(s->target.comm, "cat"))
			return;
	}
	fail_msg("write() of the new program was never counted");
}

static void a_reset_begins_the_counts_anew(void **state)
{
	struct fixture *f = *state;
	const struct snapshot *s;
	uint64_t before;

	f->child = spawn("while :; do :; done");
	f->se = watch(f->child);
	for (int i = 0; i < 8; i++)
		next(f->se);
	s = next(f->se);
	before = s->since_ns;
	session_reset(f->se);
	for (int i = 0; i < 20; i++) {
		s = next(f->se);
		if (s->since_ns < before)
			return;
	}
	fail_msg("since_ns never fell");
}

static void stopping_gives_one_last_snapshot(void **state)
{
	struct fixture *f = *state;

	f->child = spawn("exec sleep 100");
	f->se = watch(f->child);
	next(f->se);
	session_stop(f->se);
	for (int i = 0; i < 20; i++)
		if (next(f->se)->finished)
			return;
	fail_msg("it never finished");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_wrong_pid_is_refused_with_the_reason),
		T(live_numbers_come_with_each_tick),
		T(the_targets_exit_ends_the_view_with_its_last_numbers),
		T(a_stopped_target_is_said_to_be_stopped),
		T(an_exec_is_followed),
		T(a_probe_is_found_again_after_an_exec),
		T(a_reset_begins_the_counts_anew),
		T(stopping_gives_one_last_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
