/* SPDX-License-Identifier: Apache-2.0 */
/* launch.c: fork, exec under ptrace, and the reaping of what was started. */
#include "tui/launch.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the child's side ----------------------------------------------------------------------- */

static int redirect(int out)
{
	int in = open("/dev/null", O_RDONLY);

	if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		return -errno;
	if (in > 2)
		close(in);
	return 0;
}

/* Never returns. An error goes through the pipe, which a successful exec closes. */
static void child(char *const argv[], int output, int report)
{
	sigset_t none;
	int err;

	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL); /* SIGKILL and SIGSTOP refuse, and need it not */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	err = output >= 0 ? redirect(output) : 0;
	if (!err && ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		err = -errno;
	if (!err) {
		execvp(argv[0], argv);
		err = -errno;
	}
	if (write(report, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

/* ---- going to the entry point --------------------------------------------------------------- */

#if defined(__x86_64__)
static const uint8_t trap_code[] = {0xcc}; /* int3 */
#elif defined(__aarch64__)
static const uint8_t trap_code[] = {0x00, 0x00, 0x20, 0xd4}; /* brk #0 */
#endif

/* The program's entry point as the kernel told the loader, or 0. */
static uint64_t entry_of(pid_t pid)
{
	uint64_t pair[2], entry = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fread(pair, sizeof(pair), 1, f) == 1 && pair[0] != AT_NULL)
		if (pair[0] == AT_ENTRY)
			entry = pair[1];
	fclose(f);
	return entry;
}

/* Forward what the command got meanwhile; true when it stopped at our trap. */
static bool wait_for_trap(struct launch *l)
{
	for (;;) {
		int status, sig;

		if (waitpid(l->pid, &status, __WALL) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		if (!WIFSTOPPED(status)) {
			l->status = status;
			l->reaped = true;
			return false;
		}
		sig = WSTOPSIG(status);
		if (sig == SIGTRAP)
			return true;
		if (ptrace(PTRACE_CONT, l->pid, NULL, (void *)(intptr_t)sig))
			return false;
	}
}

static int run_to_entry(struct launch *l)
{
	uint64_t entry = entry_of(l->pid);
	struct user_regs_struct regs;
	struct iovec iov = {&regs, sizeof(regs)};
	long was, trap;

	if (!entry)
		return -ENOENT;
	errno = 0;
	was = ptrace(PTRACE_PEEKTEXT, l->pid, (void *)entry, NULL);
	if (errno)
		return -errno;
	trap = was;
	memcpy(&trap, trap_code, sizeof(trap_code));
	if (ptrace(PTRACE_POKETEXT, l->pid, (void *)entry, (void *)trap) ||
	    ptrace(PTRACE_CONT, l->pid, NULL, NULL))
		return -errno;
	if (!wait_for_trap(l))
		return -ECHILD;
	if (ptrace(PTRACE_POKETEXT, l->pid, (void *)entry, (void *)was) ||
	    ptrace(PTRACE_GETREGSET, l->pid, (void *)NT_PRSTATUS, &iov))
		return -errno;
#if defined(__x86_64__)
	if (regs.rip != entry + 1)
		return -EINTR; /* a trap of the program's own */
	regs.rip = entry;      /* int3 left it one further; brk does not move it */
#else
	regs.pc = entry;
#endif
	return ptrace(PTRACE_SETREGSET, l->pid, (void *)NT_PRSTATUS, &iov) ? -errno : 0;
}

/* Should perftop be killed on the way, the command ends with it rather than by the trap. */
static void go_to_entry(struct launch *l)
{
	ptrace(PTRACE_SETOPTIONS, l->pid, NULL, (void *)PTRACE_O_EXITKILL);
	run_to_entry(l);
	if (!l->reaped)
		ptrace(PTRACE_SETOPTIONS, l->pid, NULL, NULL);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void say(char *why, size_t why_size, const char *command, int err)
{
	if (err == -ENOENT)
		snprintf(why, why_size, "%s: no such command; give its path, or check the spelling",
			 command);
	else if (err == -EACCES)
		snprintf(why, why_size, "%s: may not be executed; check its mode: ls -l %s",
			 command, command);
	else
		snprintf(why, why_size, "cannot launch %s: %s", command, strerror(-err));
}

static int start(struct launch *l, char *const argv[], int output, enum launch_hold hold)
{
	int report[2], err = 0;

	if (pipe2(report, O_CLOEXEC))
		return -errno;
	l->pid = fork();
	if (l->pid < 0) {
		err = -errno;
		close(report[0]);
		close(report[1]);
		l->pid = 0;
		return err;
	}
	if (!l->pid)
		child(argv, output, report[1]);
	close(report[1]);
	if (read(report[0], &err, sizeof(err)) != (ssize_t)sizeof(err))
		err = 0;
	close(report[0]);
	l->held = wait_for_trap(l);
	if (!err && !l->held)
		err = -ECHILD;
	if (!err && hold == LAUNCH_AT_ENTRY) {
		/* Where that cannot be done the command is held at its exec, which is earlier. */
		go_to_entry(l);
		if (l->reaped)
			err = -ECHILD;
	}
	return err;
}

int launch_start(struct launch *l, char *const argv[], const char *output_path,
		 enum launch_hold hold, char *why, size_t why_size)
{
	int output = -1, err;

	*l = (struct launch){0};
	if (output_path) {
		output = open(output_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (output < 0) {
			snprintf(why, why_size,
				 "cannot write %s: %s; name a file that you can write to",
				 output_path, strerror(errno));
			return -EBADF;
		}
	}
	err = start(l, argv, output, hold);
	if (output >= 0)
		close(output);
	if (!err)
		return 0;
	say(why, why_size, argv[0], err);
	launch_stop(l, 0, true);
	*l = (struct launch){0};
	return err;
}

void launch_release(struct launch *l)
{
	if (l->held)
		ptrace(PTRACE_DETACH, l->pid, NULL, NULL);
	l->held = false;
}

bool launch_ended(struct launch *l)
{
	int status;

	if (!l->pid || l->reaped)
		return true;
	if (l->held || waitpid(l->pid, &status, WNOHANG) != l->pid || WIFSTOPPED(status))
		return false;
	l->status = status;
	l->reaped = true;
	return true;
}

int launch_exit_code(const struct launch *l)
{
	return WIFSIGNALED(l->status) ? 128 + WTERMSIG(l->status) : WEXITSTATUS(l->status);
}

bool launch_stop(struct launch *l, unsigned int grace_ms, bool force)
{
	const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};

	if (launch_ended(l))
		return true;
	if (l->held) {
		/* It never ran: it has nothing to put in order. */
		l->held = false;
		force = true;
		grace_ms = 0;
	} else {
		kill(l->pid, SIGTERM);
	}
	kill(l->pid, SIGCONT); /* one that is stopped could not answer */
	for (unsigned int ms = 0; ms < grace_ms; ms += 5) {
		if (launch_ended(l))
			return true;
		nanosleep(&pause, NULL);
	}
	if (!force)
		return launch_ended(l);
	kill(l->pid, SIGKILL);
	while (waitpid(l->pid, &l->status, 0) < 0 && errno == EINTR)
		;
	l->reaped = true;
	return true;
}

int launch_self_path(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	/* Replaced by a newer build meanwhile: run what is running. */
	if (access(buf, X_OK))
		snprintf(buf, size, "/proc/self/exe");
	return 0;
}
