/* SPDX-License-Identifier: Apache-2.0 */
/* socket_listening.h: the TCP ports that somebody listens at. */
#ifndef PERFTOP_SOCKET_LISTENING_H
#define PERFTOP_SOCKET_LISTENING_H

#include <sys/types.h>

struct socket_ports;

/*
 * Adds those of the network that process pid is in, as sock_diag(7) tells, which does not go
 * through the connections. 0; -EXDEV: pid is in another network than this process; -ENOENT and the
 * like: this kernel does not tell.
 */
int socket_listening_diag(pid_t pid, struct socket_ports *out);

#endif
