/* SPDX-License-Identifier: Apache-2.0 */
/* inject.h: loading the heap sampler into a running process, and taking it out again. */
#ifndef PERFTOP_INJECT_H
#define PERFTOP_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * One thread of the process is borrowed, at a moment when it is safe: blocked in a system call, or
 * computing, with no frame of the loader, of an allocator or of a signal handler on its stack. It
 * runs dlopen, and goes on as if nothing had happened: every register, the signal mask, errno, and
 * a blocked call that is restarted with the time that it had left. No other thread is stopped.
 *
 * The borrowed thread finds its own way back: before it is sent off, a signal frame with its whole
 * state stands on its stack, and dlopen returns into sigreturn. So perftop may die at any moment.
 * Then a call that was to be resumed is begun anew instead: a relative sleep takes too long, by
 * what it had slept already.
 *
 * The hooks are put in from outside, by writing GOT slots of all modules but the loader and the
 * library itself through /proc/PID/mem: see probes/inject_port.h for what the library must export.
 * What passes no slot is not seen: calls inside one module to an allocator of its own, function
 * pointers that the program copied before, the loader's own allocations, other link-map namespaces.
 * glibc's own calls (strdup, getline, fopen) pass slots and are seen.
 *
 * x86-64 with glibc only; elsewhere every call refuses with -ENOTSUP. All calls are made by one
 * thread, which waits for the process: some ms in all.
 */

enum { INJECT_WHY = 256 };

/* What is loaded, for refusals and their words. */
struct inject_subject {
	const char *instead; /* a sentence: what works where it cannot be loaded */
	const char *launch;  /* option that launches a command with it */
	bool malloc;	     /* an allocator inside the program is out of its reach */
};
extern const struct inject_subject inject_heap, inject_calls;

struct inject_result {
	uint64_t stop_ns;  /* how long the borrowed thread stood still for perftop; 0: not at all */
	uint64_t probe_ns; /* longest of the shorter stops in which its stack was looked at */
	uint64_t base;	   /* load address of the library */
	uint64_t port;	   /* address of its struct inject_port */
	uint32_t tid;	   /* the borrowed thread; 0: the library was there already */
	uint32_t tries;	   /* stops that were needed to find a safe moment */
	uint32_t slots;	   /* that lead to hooks now */
	uint32_t modules;  /* that these slots belong to */
	uint32_t foreign;  /* slots left alone: they lead to another allocator than the process's */
	bool called;	   /* the library's init function was run */
	char thread_call[32]; /* what the borrowed thread was in: "read", "running" */
};

/* Can it be done? 0, or -errno with why, which names the way out. Stops nothing. */
int inject_check(pid_t pid, char *why, size_t why_size);

/*
 * Load the library and hook it in; when it is there already (loaded before, taken out since, or
 * left by a perftop that was killed), only hook it in, without a stop. so_path is read by this
 * process; where the target sees another file system it is handed over as a memfd. 0, or -errno
 * with why: -EAGAIN no safe moment was found, -EALREADY it is there by preloading, -ETIMEDOUT its
 * loader is at work still, and the library will come later: call again.
 */
int inject_load(pid_t pid, const char *so_path, struct inject_result *out, char *why,
		size_t why_size);

/* Only the loading, in any thread or in one (`only`, or 0): no hooks. */
int inject_load_file(pid_t pid, pid_t only, const struct inject_subject *of, const char *so_path,
		     struct inject_result *out, char *why, size_t why_size);

/*
 * Hook in modules that were loaded since: call it once a tick. Reads the loader's list, some
 * microseconds, and allocates nothing unless it changed. *f is zeroed by the caller at first.
 * Returns the number of new slots, which *loaded counts too, or -errno: -ESTALE it has run another
 * program since.
 */
struct inject_follow {
	uint64_t debug, seen;
};
int inject_follow(pid_t pid, struct inject_result *loaded, struct inject_follow *f);

/* Whether the library is in it, by inject_load, and was switched off since. Stops nothing. */
bool inject_is_off(pid_t pid);

struct inject_unloaded {
	uint32_t slots;	     /* restored */
	uint64_t kept_bytes; /* resident memory of the library that stays mapped, inert */
};

/*
 * Restore the slots and switch the library off. It needs no record of the load, so it works for one
 * whose perftop was killed too. A slot that was still unbound is left bound, as the first call
 * would have done. The library stays mapped: a hook's address may have been copied by the program
 * (a parser that keeps its malloc), so no look at the threads can tell that nobody will call it. 0,
 * or -errno with why; -ENOENT: it is not there.
 */
int inject_unload(pid_t pid, struct inject_unloaded *out, char *why, size_t why_size);

#endif
