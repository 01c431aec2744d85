/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_info.c: what the kernel knows of a TCP connection of another process. */
#include "collectors/tcp_info.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collectors/socket_ask.h"

/* tcpi_min_rtt is so until a first round trip was measured. */
#define NO_RTT UINT32_MAX

static int ask(int fd, struct tcp_facts *out)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	/* Older kernels fill less of it. */
	memset(&info, 0, sizeof(info));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size))
		return errno == EOPNOTSUPP || errno == ENOPROTOOPT || errno == EINVAL ? -ENOTSUP
										      : -errno;
	out->rtt_ns = info.tcpi_min_rtt == NO_RTT ? 0 : (uint64_t)info.tcpi_min_rtt * 1000;
	out->sent = info.tcpi_segs_out;
	out->received = info.tcpi_segs_in;
	out->retransmits = info.tcpi_total_retrans;
	out->out_of_order = info.tcpi_rcv_ooopack;
	return 0;
}

int tcp_info_read(pid_t pid, int fd, uint64_t inode, struct tcp_facts *out)
{
	int copy = socket_copy(pid, fd, inode), err;

	if (copy < 0)
		return copy;
	err = ask(copy, out);
	close(copy);
	return err;
}
