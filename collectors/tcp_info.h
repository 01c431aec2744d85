/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_info.h: what the kernel knows of a TCP connection of another process. */
#ifndef PERFTOP_TCP_INFO_H
#define PERFTOP_TCP_INFO_H

#include <stdint.h>
#include <sys/types.h>

/* Counts are of the connection's life, in segments, and wrap around. Source: linux/tcp.h. */
struct tcp_facts {
	uint64_t rtt_ns; /* shortest round trip of the last minutes: the network's; 0 = not known */
	uint32_t sent, received;
	uint32_t retransmits;  /* sent again from here */
	uint32_t out_of_order; /* came after later ones: lost on the way here, or overtaken */
};

/*
 * Of fd in process pid, if that is the socket with this inode; by way of a copy of the descriptor,
 * which is closed again at once. 0; -ENOTSUP: it is no TCP connection; -ESTALE: fd is another's by
 * now; -EPERM, -ESRCH, -ENOSYS (Linux before 5.6) and the like: it cannot be asked.
 */
int tcp_info_read(pid_t pid, int fd, uint64_t inode, struct tcp_facts *out);

#endif
