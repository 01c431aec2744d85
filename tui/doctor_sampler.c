/* SPDX-License-Identifier: Apache-2.0 */
/* doctor_sampler.c: our libraries loaded into a process that was started for it. */
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

#include "collectors/calls_stubs.h"
#include "collectors/inject.h"
#include "collectors/inject_modules.h"
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

/* An engine of its own for what `try` loads into it, given the library. */
static int try_in_engine(const char *name, const char *option, char *text, size_t size,
			 int (*try)(pid_t, const char *, char *, size_t))
{
	const struct timespec wait = {.tv_nsec = SAMPLER_WAIT_NS};
	char library[PATH_MAX];
	int err = preload_find(name, option, library, sizeof(library), text, size);
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
		err = try(pid, library, text, size);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return err;
}

static int load_sampler(pid_t pid, const char *library, char *text, size_t size)
{
	struct inject_result loaded;
	int err = inject_load(pid, library, &loaded, text, size);

	if (!err)
		snprintf(text, size,
			 "loaded into a running process, of which a thread stood still for %.2f ms",
			 (double)loaded.stop_ns / 1e6);
	return err;
}

int doctor_try_sampler(char *text, size_t size)
{
	return try_in_engine(PRELOAD_HEAP, "--heap=sample", text, size, load_sampler);
}

/* What the engine calls all the time. */
#define TIMED "clock_gettime"

static int count_calls(struct calls *c, pid_t pid, uint64_t *seen, char *text, size_t size)
{
	static const char *const names[] = {TIMED};
	const struct timespec wait = {.tv_nsec = SAMPLER_WAIT_NS};
	uint8_t gates[CALLS_STUBS] = {0};
	struct inject_modules m;
	struct inject_symbol y;
	int err = inject_modules_read(&m, pid), f;

	if (!err)
		err = inject_modules_find(&m, pid, TIMED, &y);
	inject_modules_fini(&m);
	f = err ? err : calls_add(c, y.addr, names, 1);
	err = f < 0 ? f : calls_patch(c, text, size);
	if (f < 0 || calls_stub(c, (uint32_t)f) < 0) {
		snprintf(text, size, "its " TIMED " was not found");
		return f < 0 ? f : -ENODATA;
	}
	gates[calls_stub(c, (uint32_t)f)] = 1;
	if (!err)
		err = calls_gates(c, gates);
	for (int i = 0; !err && !*seen && i < SAMPLER_TRIES; i++) {
		nanosleep(&wait, NULL);
		*seen = calls_count(c, (uint32_t)calls_stub(c, (uint32_t)f));
	}
	return err;
}

static int load_calls(pid_t pid, const char *library, char *text, size_t size)
{
	struct calls *c = calls_new(pid, library, false);
	double call_ns = 0, floor_ns;
	uint64_t seen = 0;
	int err = c ? calls_open(c, text, size) : -ENOMEM;

	if (!err)
		err = count_calls(c, pid, &seen, text, size);
	if (!err) {
		calls_price(c, &call_ns, &floor_ns);
		snprintf(text, size, "-e with --in-process: %.0f ns a call, saw %llu of " TIMED,
			 call_ns, (unsigned long long)seen);
		err = seen ? 0 : -ENODATA;
	}
	calls_free(c);
	return err;
}

int doctor_try_calls(char *text, size_t size)
{
	return try_in_engine(PRELOAD_CALLS, "--in-process", text, size, load_calls);
}
