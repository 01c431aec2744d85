/* SPDX-License-Identifier: Apache-2.0 */
/* socket_ask.h: what one socket of another process is connected to, by asking the socket. */
#ifndef PERFTOP_SOCKET_ASK_H
#define PERFTOP_SOCKET_ASK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A copy of descriptor fd of process pid, if it is the socket with this inode; the caller closes
 * it. -ESTALE: it is another's by now; -EBADF: closed; -EPERM, -ESRCH, -ENOSYS (Linux before 5.6)
 * and the like: it cannot be had.
 */
int socket_copy(pid_t pid, int fd, uint64_t inode);

/*
 * Its name as socket_names_find() has it, which goes through all sockets of the network for it: on
 * a server with many, for milliseconds. server: where a Unix socket without a name of its own is
 * connected to, as "/run/x.sock"; else "". 0; -ENOTSUP: of another family; or as above.
 */
int socket_ask(pid_t pid, int fd, uint64_t inode, char *name, size_t size, char *server,
	       size_t server_size);

#endif
