/* SPDX-License-Identifier: Apache-2.0 */
/* socket_listening.c: see socket_listening.h. */
#include "collectors/socket_listening.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/socket_names.h"

enum { ANSWER_BYTES = 32768, ANSWER_MS = 200 };

static bool same_network(pid_t pid)
{
	struct stat own, theirs;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return !stat("/proc/self/ns/net", &own) && !stat(path, &theirs) &&
	       own.st_ino == theirs.st_ino && own.st_dev == theirs.st_dev;
}

static int ask(int fd, int family)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 want;
	} request = {
		.head = {.nlmsg_len = sizeof(request),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.want = {.sdiag_family = (uint8_t)family,
			 .sdiag_protocol = IPPROTO_TCP,
			 .idiag_states = 1u << TCP_LISTEN},
	};

	return send(fd, &request, sizeof(request), 0) < 0 ? -errno : 0;
}

/* One datagram of the answer. 1: there is more; 0: that was all. */
static int take(const char *buf, ssize_t size, struct socket_ports *out)
{
	int left = (int)size;

	for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; NLMSG_OK(h, left);
	     h = NLMSG_NEXT(h, left)) {
		const struct inet_diag_msg *m = NLMSG_DATA(h);
		uint32_t port;

		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)) && e->error ? e->error
										    : -EPROTO;
		}
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
			return -EPROTO;
		port = ntohs(m->id.idiag_sport);
		out->listening[port / 64] |= 1ull << port % 64;
	}
	return 1;
}

static int dump(int fd, int family, struct socket_ports *out)
{
	_Alignas(struct nlmsghdr) char buf[ANSWER_BYTES];
	int err = ask(fd, family);

	while (!err) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n < 0 && errno == EINTR)
			continue;
		err = n < 0 ? -errno : take(buf, n, out);
		if (!err)
			return 0;
		err = err == 1 ? 0 : err;
	}
	return err;
}

int socket_listening_diag(pid_t pid, struct socket_ports *out)
{
	struct timeval most = {.tv_usec = ANSWER_MS * 1000};
	int fd, err;

	if (!same_network(pid))
		return -EXDEV;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
	err = dump(fd, AF_INET, out);
	if (!err)
		err = dump(fd, AF_INET6, out);
	close(fd);
	return err;
}
