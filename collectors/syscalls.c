/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls.c: system calls: names, what a thread that sleeps in one waits for, what they work on.
 */
#include "collectors/syscalls.h"

#include <stdbool.h>
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
	{"select", WAIT_SELECT},
	{"pselect6", WAIT_SELECT},
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
	{"io_getevents", WAIT_AIO},
	{"io_pgetevents", WAIT_AIO},
	{"io_uring_enter", WAIT_AIO},
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

/* Calls whose first argument is a descriptor of any kind, separated by spaces. */
static const char of_argument[] =
	" read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 sendfile splice "
	"tee "
	"vmsplice fstat newfstat lseek ioctl fcntl flock fsync fdatasync syncfs sync_file_range "
	"ftruncate fallocate fadvise64 readahead copy_file_range getdents getdents64 dup dup2 dup3 "
	"fchdir fchmod fchown fstatfs fgetxattr fsetxattr flistxattr fremovexattr ";
/* Those of sockets alone. epoll_wait and the like say by their name what they work on. */
static const char of_socket[] = " connect accept accept4 bind listen shutdown getsockname "
				"getpeername getsockopt setsockopt "
				"sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg ";

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = words; (at = strstr(at, word)); at++)
		if (at[-1] == ' ' && at[n] == ' ')
			return true;
	return false;
}

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

uint32_t syscall_fd_class(uint32_t nr)
{
	const char *name = syscall_name(nr);

	if (!name)
		return FD_NONE;
	if (!strcmp(name, "close"))
		return FD_OF_ARGUMENT_CLOSED;
	if (has_word(of_socket, name))
		return FD_SOCKET;
	return has_word(of_argument, name) ? FD_OF_ARGUMENT : FD_NONE;
}

uint32_t syscall_turn(uint32_t nr)
{
	static const char receives[] = " read readv recvfrom recvmsg ";
	static const char sends[] = " write writev sendto sendmsg sendfile ";
	static const struct {
		const char *name;
		uint32_t turn;
	} loops[] = {
		{"epoll_wait", TURN_EPOLL},    {"epoll_pwait", TURN_EPOLL},
		{"epoll_pwait2", TURN_EPOLL2}, {"poll", TURN_POLL},
		{"ppoll", TURN_PPOLL},	       {"select", TURN_SELECT},
		{"pselect6", TURN_SELECT},
	};
	const char *name = syscall_name(nr);

	if (!name)
		return TURN_NONE;
	for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++)
		if (!strcmp(loops[i].name, name))
			return loops[i].turn;
	return has_word(receives, name)		    ? TURN_RECEIVE
	       : has_word(sends, name)		    ? TURN_SEND
	       : has_word(" accept accept4 ", name) ? TURN_ACCEPT
	       : !strcmp(name, "connect")	    ? TURN_CONNECT
						    : TURN_NONE;
}

const char *fd_class_name(uint32_t class)
{
	static const char *const words[CONTRACT_FD_CLASSES] = {
		[FD_FILE] = "file",	  [FD_DIR] = "directory", [FD_SOCKET] = "socket",
		[FD_PIPE] = "pipe",	  [FD_TTY] = "tty",	  [FD_DEVICE] = "device",
		[FD_DISK] = "disk",	  [FD_EVENT] = "eventfd", [FD_TIMER] = "timerfd",
		[FD_SIGNAL] = "signalfd", [FD_EPOLL] = "epoll",	  [FD_INOTIFY] = "inotify",
		[FD_OTHER] = "other",
	};

	return class < CONTRACT_FD_CLASSES && words[class] ? words[class] : "";
}
