/* SPDX-License-Identifier: Apache-2.0 */
/* inject_hooks.h: hooking a library that is loaded into a process, and unhooking it. */
#ifndef PERFTOP_INJECT_HOOKS_H
#define PERFTOP_INJECT_HOOKS_H

#include "collectors/inject.h"
#include "collectors/inject_modules.h"
#include "probes/inject_port.h"

struct inject_hooks {
	struct inject_port port; /* as read; nhooks is bounded, names are ended */
	uint64_t at;		 /* its address in the process */
	uint32_t module;	 /* index of the library */
};

/*
 * The library among the modules. 0; -ENOENT it is not there; -EPROTO it is of another version;
 * -EALREADY it was preloaded, so its own names are in force.
 */
int inject_hooks_find(struct inject_hooks *h, const struct inject_modules *m, pid_t pid);
/* Fill in what it replaces, switch it on, and patch. Adds to *out. */
int inject_hooks_apply(struct inject_hooks *h, const struct inject_modules *m, pid_t pid,
		       struct inject_result *out);

/*
 * A fingerprint of the loader's list, whose struct r_debug is at `debug`: another when it changed.
 * 0 or -errno, -EAGAIN while it changes.
 */
int inject_loader_seen(pid_t pid, uint64_t debug, uint64_t *seen);

#endif
