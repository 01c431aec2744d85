/* SPDX-License-Identifier: Apache-2.0 */
/* socket_ask.c: see socket_ask.h. */
#include "collectors/socket_ask.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "collectors/socket_names.h"

enum { MPTCP = 262 }; /* TCP, as far as anybody is told */

int socket_copy(pid_t pid, int fd, uint64_t inode)
{
	long pidfd = syscall(SYS_pidfd_open, pid, 0), copy;
	struct stat st;
	int err;

	if (pidfd < 0)
		return -errno;
	copy = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	err = copy < 0 ? -errno : 0;
	close((int)pidfd);
	if (err)
		return err;
	if (!fstat((int)copy, &st) && st.st_ino == inode)
		return (int)copy;
	close((int)copy);
	return -ESTALE;
}

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un local;
	} of;
	socklen_t size;
};

static bool is_v6(const struct address *a)
{
	return a->of.any.sa_family == AF_INET6;
}

static bool is_zero(const void *bytes, size_t n)
{
	const unsigned char *b = bytes;

	while (n && !*b) {
		b++;
		n--;
	}
	return !n;
}

/* "10.0.0.2:80", "*:80", "*". */
static void end_words(const struct address *a, char *out, size_t size)
{
	const void *ip =
		is_v6(a) ? (const void *)&a->of.v6.sin6_addr : (const void *)&a->of.v4.sin_addr;
	uint32_t port = a->size ? ntohs(is_v6(a) ? a->of.v6.sin6_port : a->of.v4.sin_port) : 0;

	if (!a->size || is_zero(ip, is_v6(a) ? 16 : 4))
		snprintf(out, size, port ? "*:%u" : "*", port);
	else
		socket_names_end(ip, is_v6(a), port, out, size);
}

/* As /proc/net/unix has it: "@name" where it is in no file system, "" where there is none. */
static void path_words(const struct address *a, char *out, size_t size)
{
	size_t skip = offsetof(struct sockaddr_un, sun_path);
	size_t n = a->size > skip ? a->size - skip : 0, at = 0;

	for (; at < n && at + 1 < size; at++) {
		char c = a->of.local.sun_path[at];

		if (!c && at)
			break;
		out[at] = c ? c : '@';
	}
	out[at] = '\0';
}

static int option(int fd, int name)
{
	int value = 0;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &size) ? 0 : value;
}

static int read_ends(int fd, struct address *here, struct address *there)
{
	memset(here, 0, sizeof(*here));
	memset(there, 0, sizeof(*there));
	here->size = sizeof(here->of);
	if (getsockname(fd, &here->of.any, &here->size))
		return -errno;
	there->size = sizeof(there->of);
	if (getpeername(fd, &there->of.any, &there->size))
		there->size = 0; /* of none, or of none any more */
	return 0;
}

static int ask(int fd, char *name, size_t size, char *server, size_t server_size)
{
	struct address here, there;
	char from[128], to[128];
	bool listens;
	int err = read_ends(fd, &here, &there), protocol;

	if (err)
		return err;
	listens = option(fd, SO_ACCEPTCONN);
	protocol = option(fd, SO_PROTOCOL);
	if (protocol == MPTCP)
		protocol = IPPROTO_TCP;
	if (here.of.any.sa_family == AF_UNIX) {
		path_words(&here, from, sizeof(from));
		path_words(&there, to, sizeof(to));
		if (!from[0])
			snprintf(server, server_size, "%s", to);
		if (!from[0] && to[0])
			snprintf(name, size, "unix to %s", to);
		else
			snprintf(name, size, "unix %s%s", from[0] ? from : "unnamed",
				 listens ? " listening" : "");
		return 0;
	}
	if ((here.of.any.sa_family != AF_INET && !is_v6(&here)) ||
	    (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP))
		return -ENOTSUP;
	end_words(&here, from, sizeof(from));
	end_words(&there, to, sizeof(to));
	snprintf(name, size, "%s %s %s", protocol == IPPROTO_TCP ? "tcp" : "udp", from,
		 listens ? "listening" : to);
	return 0;
}

int socket_ask(pid_t pid, int fd, uint64_t inode, char *name, size_t size, char *server,
	       size_t server_size)
{
	int copy = socket_copy(pid, fd, inode), err;

	server[0] = '\0';
	if (copy < 0)
		return copy;
	err = ask(copy, name, size, server, server_size);
	close(copy);
	return err;
}
