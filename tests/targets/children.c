/* SPDX-License-Identifier: Apache-2.0 */
/*
 * children.c: work that is done by children which live shorter than a tick.
 *	children MS KIB SECONDS
 * At SIGUSR1, for SECONDS: one child after the other takes MS of CPU time and touches KIB of
 * memory, is waited for, and gone. Prints "done" with the CPU time in ms and the page faults of
 * all, by getrusage(2), and waits to be killed.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void work(double ms, size_t kib)
{
	volatile char *p =
		mmap(NULL, kib << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; p != MAP_FAILED && i < kib << 10; i += 4096)
		p[i] = 1;
	while (seconds(CLOCK_PROCESS_CPUTIME_ID) < ms / 1000)
		;
}

int main(int argc, char **argv)
{
	double ms = argc > 1 ? atof(argv[1]) : 20, end;
	size_t kib = argc > 2 ? strtoul(argv[2], NULL, 10) : 1024;
	double for_s = argc > 3 ? atof(argv[3]) : 3;
	struct rusage u;
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	puts("ready");
	fflush(stdout);
	sigwait(&set, &sig);
	end = seconds(CLOCK_MONOTONIC) + for_s;
	while (seconds(CLOCK_MONOTONIC) < end) {
		pid_t pid = fork();

		if (!pid) {
			work(ms, kib);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	getrusage(RUSAGE_CHILDREN, &u);
	printf("done %ld %ld\n",
	       (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
		       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000,
	       u.ru_minflt);
	fflush(stdout);
	for (;;)
		pause();
}
