/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls.c: names of system calls, and what a thread that sleeps in one waits for. */
#include "collectors/syscalls.h"

#include <string.h>

#include "probes/contract.h"

static const char *const names[CONTRACT_SYSCALLS] = {
#include "syscall_names.inc"
};

/* Calls that wait for one kind of thing. What is not named here is "other". */
static const struct {
	const char *name;
	uint32_t wait;
} waits[] = {
	{"futex", WAIT_FUTEX},
	{"futex_wait", WAIT_FUTEX},
	{"futex_waitv", WAIT_FUTEX},
	{"nanosleep", WAIT_SLEEP},
	{"clock_nanosleep", WAIT_SLEEP},
	{"pause", WAIT_SLEEP},
	{"rt_sigtimedwait", WAIT_SLEEP},
	{"rt_sigsuspend", WAIT_SLEEP},
	{"epoll_wait", WAIT_EPOLL},
	{"epoll_pwait", WAIT_EPOLL},
	{"epoll_pwait2", WAIT_EPOLL},
	{"poll", WAIT_POLL},
	{"ppoll", WAIT_POLL},
	{"select", WAIT_POLL},
	{"pselect6", WAIT_POLL},
	{"accept", WAIT_NET},
	{"accept4", WAIT_NET},
	{"connect", WAIT_NET},
	{"recvfrom", WAIT_NET},
	{"recvmsg", WAIT_NET},
	{"recvmmsg", WAIT_NET},
	{"sendto", WAIT_NET},
	{"sendmsg", WAIT_NET},
	{"sendmmsg", WAIT_NET},
	{"fsync", WAIT_IO},
	{"fdatasync", WAIT_IO},
	{"sync_file_range", WAIT_IO},
	{"syncfs", WAIT_IO},
	{"sync", WAIT_IO},
	{"msync", WAIT_IO},
	{"io_getevents", WAIT_IO},
	{"io_pgetevents", WAIT_IO},
	{"io_uring_enter", WAIT_IO},
	{"copy_file_range", WAIT_IO},
	{"fallocate", WAIT_IO},
	{"ftruncate", WAIT_IO},
	{"read", WAIT_RW},
	{"write", WAIT_RW},
	{"readv", WAIT_RW},
	{"writev", WAIT_RW},
	{"pread64", WAIT_RW},
	{"pwrite64", WAIT_RW},
	{"preadv", WAIT_RW},
	{"pwritev", WAIT_RW},
	{"preadv2", WAIT_RW},
	{"pwritev2", WAIT_RW},
	{"sendfile", WAIT_RW},
};

const char *syscall_name(uint32_t nr)
{
	return nr < CONTRACT_SYSCALLS ? names[nr] : NULL;
}

int syscall_nr(const char *name)
{
	for (int nr = 0; nr < CONTRACT_SYSCALLS; nr++)
		if (names[nr] && !strcmp(names[nr], name))
			return nr;
	return -1;
}

uint32_t syscall_wait_class(uint32_t nr)
{
	const char *name = syscall_name(nr);

	for (size_t i = 0; name && i < sizeof(waits) / sizeof(waits[0]); i++)
		if (!strcmp(waits[i].name, name))
			return waits[i].wait;
	return WAIT_OTHER;
}
