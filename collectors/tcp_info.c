/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_info.c: what the kernel knows of a TCP connection of another process. */
#include "collectors/tcp_info.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* tcpi_min_rtt is so until a first round trip was measured. */
#define NO_RTT UINT32_MAX

static int copy_descriptor(pid_t pid, int fd)
{
	long pidfd = syscall(SYS_pidfd_open, pid, 0), copy;
	int err;

	if (pidfd < 0)
		return -errno;
	copy = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	err = copy < 0 ? -errno : (int)copy;
	close((int)pidfd);
	return err;
}

static int ask(int fd, uint64_t inode, struct tcp_facts *out)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);
	struct stat st;

	/* Older kernels fill less of it. */
	memset(&info, 0, sizeof(info));
	if (fstat(fd, &st) || st.st_ino != inode)
		return -ESTALE;
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
	int copy = copy_descriptor(pid, fd), err;

	if (copy < 0)
		return copy;
	err = ask(copy, inode, out);
	close(copy);
	return err;
}
