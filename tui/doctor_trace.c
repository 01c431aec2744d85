/* SPDX-License-Identifier: Apache-2.0 */
/* doctor_trace.c: --heap=trace tried on a process that was started for it. */
#include "tui/doctor_trace.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collectors/session.h"
#include "tui/doctor.h"
#include "tui/options.h"

enum { TRACE_TICKS = 20, TRACE_TICK_MAX_MS = 5000, TRACE_PAUSE_NS = 1000000 };

static pid_t start_allocating(void)
{
	const struct timespec pause = {.tv_nsec = TRACE_PAUSE_NS};
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent) {
		void *volatile p = malloc(64);

		free(p);
		nanosleep(&pause, NULL);
	}
	_exit(0);
}

/* Until calls are seen; NULL when no tick comes. */
static const struct snapshot *watch(struct session *se)
{
	struct pollfd p = {.fd = session_eventfd(se), .events = POLLIN};
	const struct snapshot *s = NULL;

	for (int i = 0; i < TRACE_TICKS && !(s && (doctor_count(s, LATENCY_UPROBE) || s->finished));
	     i++) {
		const struct snapshot *next;

		if (poll(&p, 1, TRACE_TICK_MAX_MS) <= 0)
			break;
		next = session_snapshot(se);
		s = next ? next : s;
	}
	return s;
}

/* What kept it from working is said by the part that places the probes. */
static enum section_status judge(const struct snapshot *s, char *text, size_t size, char *fix,
				 size_t fix_size)
{
	const struct snap_section *func = snapshot_find_section(s, "func");
	const struct snap_section *heap = snapshot_find_section(s, "heap");
	uint64_t calls = doctor_count(s, LATENCY_UPROBE);

	if (calls && heap && heap->status != SECTION_ABSENT) {
		snprintf(text, size, "--heap=trace: %.160s (seen: %" PRIu64 " calls)", heap->reason,
			 calls);
		snprintf(fix, fix_size, "%s", heap->status == SECTION_LIVE ? "" : heap->fix);
		return (enum section_status)heap->status;
	}
	snprintf(text, size, "--heap=trace: %s",
		 func && func->status == SECTION_ABSENT ? func->reason : "saw no call of malloc");
	snprintf(fix, fix_size, "%s", func && func->status == SECTION_ABSENT ? func->fix : "");
	return SECTION_ABSENT;
}

static enum section_status trace(pid_t pid, char *text, size_t size, char *fix, size_t fix_size)
{
	char number[16];
	char *argv[] = {"perftop", "--heap=trace", "--syscalls=off", "--no-offcpu", "--hz",
			"0",	   "-d",	   "100ms",	     "-p",	    number,
			NULL};
	struct options *o = malloc(sizeof(*o));
	enum section_status status = SECTION_ABSENT;
	const struct snapshot *s = NULL;
	struct session *se = NULL;
	int err;

	snprintf(number, sizeof(number), "%d", pid);
	snprintf(text, size, "out of memory");
	if (o && !options_parse(o, sizeof(argv) / sizeof(argv[0]) - 1, argv, text, size))
		se = session_new(&o->session, &err, text, size);
	if (se)
		snprintf(text, size, "--heap=trace was started, but no tick came from it");
	if (se && !session_start(se))
		s = watch(se);
	if (s)
		status = judge(s, text, size, fix, fix_size);
	session_free(se);
	free(o);
	return status;
}

enum section_status doctor_try_trace(char *text, size_t size, char *fix, size_t fix_size)
{
	enum section_status status;
	pid_t pid = start_allocating();

	fix[0] = '\0';
	if (pid < 0) {
		snprintf(text, size, "no process could be started to try --heap=trace");
		return SECTION_ABSENT;
	}
	status = trace(pid, text, size, fix, fix_size);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return status;
}
