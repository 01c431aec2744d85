/* SPDX-License-Identifier: Apache-2.0 */
/* doctor_sampler.c: the heap sampler loaded into a process that was started for it. */
#include "tui/doctor_sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collectors/inject.h"
#include "tui/preload.h"

enum { SAMPLER_TRIES = 100, SAMPLER_WAIT_NS = 20000000 };

/* Not the engine that is watched already: what perftop launches it traces, to end it too. */
static pid_t start_engine(void)
{
	static char *const argv[] = {"perftop",	   "engine", "--workers",  "1",	  "--load", "10",
				     "--learning", "none",   "--duration", "30s", NULL};
	pid_t parent = getpid(), pid = fork();
	int null;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	null = open("/dev/null", O_RDWR);
	if (getppid() != parent || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(null, 2) < 0)
		_exit(127);
	execv("/proc/self/exe", argv);
	_exit(127);
}

int doctor_try_sampler(char *text, size_t size)
{
	const struct timespec wait = {.tv_nsec = SAMPLER_WAIT_NS};
	char library[PATH_MAX];
	struct inject_result loaded;
	int err = preload_find(library, sizeof(library), text, size);
	pid_t pid;

	if (err)
		return err;
	pid = start_engine();
	if (pid < 0) {
		err = -errno;
		snprintf(text, size, "no process could be started to try it");
		return err;
	}
	/* At its start the loader is at work; later there is a moment when it waits. */
	err = -EAGAIN;
	for (int i = 0; i < SAMPLER_TRIES && (err == -EAGAIN || err == -ETIMEDOUT); i++) {
		nanosleep(&wait, NULL);
		err = inject_load(pid, library, &loaded, text, size);
	}
	if (!err)
		snprintf(text, size,
			 "loaded into a running process, of which a thread stood still for %.2f ms",
			 (double)loaded.stop_ns / 1e6);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return err;
}
