/* SPDX-License-Identifier: Apache-2.0 */
/* socket_names.h: what the sockets of a process are connected to. */
#ifndef PERFTOP_SOCKET_NAMES_H
#define PERFTOP_SOCKET_NAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/snapshot.h"

/*
 * name: SNAP_NAME bytes, written and *found set when there is a socket with this inode. peer:
 * SNAP_PEER bytes, written for a connection that was made from here: by TCP, nobody listens at its
 * port; to a Unix socket, it has no name of its own.
 */
struct socket_wanted {
	uint64_t inode;
	pid_t pid;
	int fd; /* of the process, when it was seen last */
	char *name, *peer;
	bool *found;
};

/* TCP ports of a network that somebody listens at, a bit for each. */
struct socket_ports {
	uint64_t listening[65536 / 64];
};
/* Adds those of the process's network. */
void socket_names_listening(pid_t pid, struct socket_ports *out);

/*
 * "tcp 127.0.0.1:6379 10.0.0.2:41022", "tcp *:80 listening", "unix /run/x.sock". The socket itself
 * is asked; where that is not allowed they are looked for in the network of pid, see proc(5).
 */
void socket_names_find(pid_t pid, const struct socket_wanted *want, uint32_t n);

/* "10.0.0.2:80" or "[::1]:80"; addr: 4 or, with v6, 16 bytes in network order. False: none. */
bool socket_names_end(const void *addr, bool v6, uint32_t port, char *out, size_t size);

/* One line of tcp, tcp6, udp, udp6 or unix; false when it is none. */
bool socket_names_parse(const char *protocol, const char *line, uint64_t *inode, char *name,
			size_t size);

#endif
