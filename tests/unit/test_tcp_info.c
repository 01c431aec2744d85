/* SPDX-License-Identifier: Apache-2.0 */
/* test_tcp_info.c: what is said of a connection that another process waits on is its own. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "collectors/tcp_info.h"

/* Another process that has the descriptors of this one. */
struct other {
	pid_t pid;
	int client, server;
};

static uint64_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void connect_both(struct other *o)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	char byte = 0;

	assert_int_equal(bind(listener, (struct sockaddr *)&at, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
	o->client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(o->client, (struct sockaddr *)&at, size), 0);
	o->server = accept(listener, NULL, NULL);
	assert_true(o->server >= 0);
	close(listener);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(write(o->client, &byte, 1), 1);
		assert_int_equal(read(o->server, &byte, 1), 1);
		assert_int_equal(write(o->server, &byte, 1), 1);
		assert_int_equal(read(o->client, &byte, 1), 1);
	}
}

static int setup(void **state)
{
	static struct other o;

	connect_both(&o);
	o.pid = fork();
	if (!o.pid)
		for (;;)
			pause();
	*state = &o;
	return o.pid < 0;
}

static int teardown(void **state)
{
	struct other *o = *state;

	kill(o->pid, SIGKILL);
	waitpid(o->pid, NULL, 0);
	close(o->client);
	close(o->server);
	return 0;
}

/* As unprivileged in a container that forbids it there is nothing to test. */
static void skip_if(int err)
{
	if (err == -ENOSYS || err == -EPERM)
		skip();
}

static void round_trips_and_packets_are_told(void **state)
{
	struct other *o = *state;
	struct tcp_facts f;
	int err = tcp_info_read(o->pid, o->client, inode_of(o->client), &f);

	skip_if(err);
	assert_int_equal(err, 0);
	assert_in_range(f.rtt_ns, 1, 100000000);
	/* A hundred there and a hundred back, and what opened it. */
	assert_in_range(f.sent, 100, 400);
	assert_in_range(f.received, 100, 400);
	assert_int_equal(f.out_of_order, 0);
}

static void a_number_that_is_another_socket_by_now_is_not_mixed_up(void **state)
{
	struct other *o = *state;
	struct tcp_facts f;
	int err = tcp_info_read(o->pid, o->client, inode_of(o->server), &f);

	skip_if(err);
	assert_int_equal(err, -ESTALE);
}

static void a_closed_one_and_a_gone_process_are_errors(void **state)
{
	struct other *o = *state;
	struct tcp_facts f;

	assert_true(tcp_info_read(o->pid, 9999, 1, &f) < 0);
	assert_true(tcp_info_read(INT32_MAX, o->client, 1, &f) < 0);
}

static void a_unix_socket_has_no_such_facts(void **state)
{
	struct tcp_facts f;
	int pair[2], err;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	err = tcp_info_read(getpid(), pair[0], inode_of(pair[0]), &f);
	close(pair[0]);
	close(pair[1]);
	skip_if(err);
	assert_int_equal(err, -ENOTSUP);
}

static void no_copy_of_a_descriptor_is_kept(void **state)
{
	struct other *o = *state;
	struct tcp_facts f;
	int before = dup(0), after;

	close(before);
	for (int i = 0; i < 50; i++)
		tcp_info_read(o->pid, o->client, inode_of(o->client), &f);
	after = dup(0);
	close(after);
	assert_int_equal(after, before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips_and_packets_are_told),
		cmocka_unit_test(a_number_that_is_another_socket_by_now_is_not_mixed_up),
		cmocka_unit_test(a_closed_one_and_a_gone_process_are_errors),
		cmocka_unit_test(a_unix_socket_has_no_such_facts),
		cmocka_unit_test(no_copy_of_a_descriptor_is_kept),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
