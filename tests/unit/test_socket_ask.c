/* SPDX-License-Identifier: Apache-2.0 */
/* test_socket_ask.c: a socket that is asked says what /proc/net says of it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "collectors/socket_ask.h"
#include "collectors/socket_listening.h"
#include "collectors/socket_names.h"

struct answer {
	char name[SNAP_NAME], peer[SNAP_PEER];
	bool found;
};

static uint64_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

/* fd -1: by looking through all of the network. */
static struct answer find(int fd, bool ask)
{
	struct answer a = {.found = false};
	const struct socket_wanted want = {.inode = inode_of(fd),
					   .pid = getpid(),
					   .fd = ask ? fd : -1,
					   .name = a.name,
					   .peer = a.peer,
					   .found = &a.found};

	socket_names_find(getpid(), &want, 1);
	return a;
}

static void says_the_same(int fd, const char *begins)
{
	struct answer asked = find(fd, true), looked = find(fd, false);

	assert_true(asked.found);
	assert_true(looked.found);
	assert_string_equal(asked.name, looked.name);
	assert_string_equal(asked.peer, looked.peer);
	assert_memory_equal(asked.name, begins, strlen(begins));
}

static int bound(int family, int type, struct sockaddr_storage *at, socklen_t *size)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	memset(at, 0, sizeof(*at));
	at->ss_family = (sa_family_t)family;
	*size = sizeof(*at);
	if (family == AF_INET)
		((struct sockaddr_in *)at)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)at,
			      family == AF_INET ? sizeof(struct sockaddr_in)
						: sizeof(struct sockaddr_in6)),
			 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, size), 0);
	return fd;
}

static void tcp_has_its_ends(void **state)
{
	struct sockaddr_storage at;
	socklen_t size;
	int listens = bound(AF_INET, SOCK_STREAM, &at, &size), from, to;
	struct socket_ports ports = {{0}};
	uint32_t port = ntohs(((struct sockaddr_in *)&at)->sin_port);
	char there[SNAP_PEER];
	struct answer a;

	(void)state;
	assert_int_equal(listen(listens, 1), 0);
	from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(from, (struct sockaddr *)&at, size), 0);
	to = accept(listens, NULL, NULL);
	assert_true(to >= 0);
	says_the_same(listens, "tcp 127.0.0.1:");
	says_the_same(from, "tcp 127.0.0.1:");
	says_the_same(to, "tcp 127.0.0.1:");
	snprintf(there, sizeof(there), "127.0.0.1:%u", port);
	a = find(from, true);
	assert_string_equal(a.peer, there);
	a = find(to, true);
	assert_string_equal(a.peer, "");
	if (!socket_listening_diag(getpid(), &ports))
		assert_true(ports.listening[port / 64] >> port % 64 & 1);
	close(to);
	close(from);
	close(listens);
}

static void version_six_is_told_as_what_it_is(void **state)
{
	struct sockaddr_storage at;
	socklen_t size;
	int listens = socket(AF_INET6, SOCK_STREAM, 0), from;
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	(void)state;
	if (listens < 0)
		skip(); /* no IPv6 here */
	close(listens);
	listens = bound(AF_INET6, SOCK_STREAM, &at, &size);
	assert_int_equal(listen(listens, 1), 0);
	says_the_same(listens, "tcp *:");
	from = socket(AF_INET, SOCK_STREAM, 0);
	v4.sin_port = ((struct sockaddr_in6 *)&at)->sin6_port;
	assert_int_equal(connect(from, (struct sockaddr *)&v4, sizeof(v4)), 0);
	close(from);
	from = accept(listens, NULL, NULL);
	says_the_same(from, "tcp 127.0.0.1:");
	close(from);
	close(listens);
}

static void udp_has_its_ends(void **state)
{
	struct sockaddr_storage at, other;
	socklen_t size, other_size;
	int fd = bound(AF_INET, SOCK_DGRAM, &at, &size);
	int to = bound(AF_INET, SOCK_DGRAM, &other, &other_size);

	(void)state;
	says_the_same(fd, "udp 127.0.0.1:");
	assert_int_equal(connect(fd, (struct sockaddr *)&other, other_size), 0);
	says_the_same(fd, "udp 127.0.0.1:");
	close(to);
	close(fd);
}

static void a_unix_socket_names_its_server(void **state)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int listens = socket(AF_UNIX, SOCK_STREAM, 0), from = socket(AF_UNIX, SOCK_STREAM, 0), to;
	char want[160];
	struct answer a;

	(void)state;
	snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/perftop-test-%d.sock", (int)getpid());
	unlink(at.sun_path);
	assert_int_equal(bind(listens, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listens, 1), 0);
	assert_int_equal(connect(from, (struct sockaddr *)&at, sizeof(at)), 0);
	to = accept(listens, NULL, NULL);
	says_the_same(listens, "unix /tmp/");
	says_the_same(to, "unix /tmp/");
	a = find(from, true);
	snprintf(want, sizeof(want), "unix to %s", at.sun_path);
	assert_string_equal(a.name, want);
	assert_string_equal(a.peer, at.sun_path);
	a = find(to, true);
	assert_string_equal(a.peer, "");
	close(to);
	close(from);
	close(listens);
	unlink(at.sun_path);
}

static void an_abstract_name_begins_with_an_at(void **state)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				     (size_t)snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1,
						      "perftop-test-%d", (int)getpid()));

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
	says_the_same(fd, "unix @perftop-test-");
	close(fd);
}

static void another_socket_is_not_taken_for_it(void **state)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), high, pair[2];
	char name[SNAP_NAME], peer[SNAP_PEER];

	(void)state;
	assert_int_equal(socket_ask(getpid(), fd, inode_of(fd) + 1, name, sizeof(name), peer,
				    sizeof(peer)),
			 -ESTALE);
	high = fcntl(fd, F_DUPFD, 300); /* no other descriptor gets its number meanwhile */
	assert_true(high >= 300);
	close(fd);
	close(high);
	assert_int_equal(socket_ask(getpid(), high, 1, name, sizeof(name), peer, sizeof(peer)),
			 -EBADF);
	/* Both without a name. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	says_the_same(pair[0], "unix unnamed");
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_has_its_ends),
		cmocka_unit_test(version_six_is_told_as_what_it_is),
		cmocka_unit_test(udp_has_its_ends),
		cmocka_unit_test(a_unix_socket_names_its_server),
		cmocka_unit_test(an_abstract_name_begins_with_an_at),
		cmocka_unit_test(another_socket_is_not_taken_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
