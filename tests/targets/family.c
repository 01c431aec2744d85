/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family.c: a process with children, making getsid(2) calls that are counted by construction.
 *	family WORKERS CALLS CHILDREN
 * Forks WORKERS, prints "ready", and at SIGUSR1 has each make CALLS calls; then forks CHILDREN one
 * after the other that make CALLS each and end. Prints "done" and waits to be killed.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline, noclone)) static void one_call(void)
{
	syscall(SYS_getsid, 0);
}

static void calls(long n)
{
	while (n--)
		one_call();
}

static pid_t child(void)
{
	pid_t pid = fork();

	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

int main(int argc, char **argv)
{
	long workers = argc > 1 ? atol(argv[1]) : 3, n = argc > 2 ? atol(argv[2]) : 1000;
	long children = argc > 3 ? atol(argv[3]) : 10;
	int go[2], back[2], sig;
	sigset_t set;
	char byte;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pipe(go) || pipe(back))
		return 1;
	for (long i = 0; i < workers; i++)
		if (!child()) {
			if (read(go[0], &byte, 1) != 1)
				_exit(1);
			calls(n);
			if (write(back[1], &byte, 1) != 1)
				_exit(1);
			pause();
			_exit(0);
		}
	puts("ready");
	fflush(stdout);
	sigwait(&set, &sig);
	for (long i = 0; i < workers; i++)
		if (write(go[1], "g", 1) != 1)
			return 1;
	for (long i = 0; i < workers; i++)
		if (read(back[0], &byte, 1) != 1)
			return 1;
	for (long i = 0; i < children; i++) {
		pid_t pid = child();

		if (!pid) {
			calls(n);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	puts("done");
	fflush(stdout);
	for (;;)
		pause();
}
