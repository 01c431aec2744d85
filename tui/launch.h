/* SPDX-License-Identifier: Apache-2.0 */
/* launch.h: a command started by perftop and held until the session is attached. */
#ifndef PERFTOP_LAUNCH_H
#define PERFTOP_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Where the command is held. */
enum launch_hold {
	LAUNCH_AT_EXEC,	 /* at its first instruction: everything is seen */
	LAUNCH_AT_ENTRY, /* at the program's entry point: its libraries are mapped, not yet run */
};

struct launch {
	pid_t pid;   /* 0 = nothing was launched */
	bool held;   /* stopped, traced by the calling thread */
	bool reaped; /* status is final */
	int status;  /* as from waitpid(2) */
};

/*
 * Start argv[0], found by PATH, with argv, and hold it. Its signal mask and dispositions are
 * those of a fresh program. `output_path`: a file for its stdout and stderr, "/dev/null" to drop
 * them, both with stdin from /dev/null; NULL leaves all three alone. Returns 0, or -errno with a
 * sentence in why: -EBADF where output_path cannot be written. All calls come from one thread.
 */
int launch_start(struct launch *l, char *const argv[], const char *output_path,
		 enum launch_hold hold, char *why, size_t why_size);

/* Let it run. */
void launch_release(struct launch *l);

/* Has it ended? Never blocks. */
bool launch_ended(struct launch *l);

/* Its exit status, or 128 + the signal that ended it; only after launch_ended(). */
int launch_exit_code(const struct launch *l);

/*
 * End it: SIGTERM, then wait up to grace_ms. Returns true when it is gone. With `force` SIGKILL
 * follows, and it is gone in any case.
 */
bool launch_stop(struct launch *l, unsigned int grace_ms, bool force);

/* Absolute path of this program, for starting it again. 0 or -errno. */
int launch_self_path(char *buf, size_t size);

#endif
