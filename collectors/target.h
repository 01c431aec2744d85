/* SPDX-License-Identifier: Apache-2.0 */
/* target.h: the watched process as a thing that lives: identity, state, exec, exit. */
#ifndef PERFTOP_TARGET_H
#define PERFTOP_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/snapshot.h"

/*
 * A pid alone can be reused: the pidfd is the identity where the kernel has it, the start time
 * where not.
 */
struct target {
	pid_t pid;
	int pidfd;	    /* -1 when the kernel has none; readable when the process has exited */
	uint64_t starttime; /* clock ticks since boot, from /proc/PID/stat */
	uint64_t startstack;
	uint64_t exe_dev, exe_ino; /* of the program: its path can change while it runs */
	uint32_t looks;
	enum target_state state;
	struct snap_target view;
};

/* 0, or -errno with a sentence in why. */
int target_init(struct target *t, pid_t pid, char *why, size_t why_size);
void target_fini(struct target *t);

enum target_change { TARGET_SAME, TARGET_EXECED, TARGET_STATE };

/* Look at the process again; fills t->view. execed: the kernel told of an execve since the last. */
enum target_change target_refresh(struct target *t, bool execed);

#endif
