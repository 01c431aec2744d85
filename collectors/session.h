/* SPDX-License-Identifier: Apache-2.0 */
/* session.h: owns the target, the collectors, the thread and the tick. */
#ifndef PERFTOP_SESSION_H
#define PERFTOP_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/snapshot.h"

struct session;
struct symbols;
struct bpf;
struct latency_set;

enum syscall_mode { SYSCALL_AUTO, SYSCALL_FULL, SYSCALL_COUNT, SYSCALL_OFF };

enum { SESSION_MAX_PROBES = 64 };

/* What the command line asks for. Copied by session_new; strings are borrowed for its life. */
struct session_config {
	pid_t pid; /* process to attach to; 0 with replay_path */
	/* Watched together with pid: its aggregates are those of all. */
	const pid_t *pids;
	uint32_t npids;
	const char *cgroup;	 /* directory of a control group: all in it and below */
	bool follow_forks;	 /* children too, those that are there and those to come */
	const char *replay_path; /* read snapshots from this recording instead */
	const char *record_path; /* write snapshots to this file */
	uint64_t interval_ns;	 /* between ticks */
	uint32_t sample_hz;	 /* CPU samples a second and CPU; 0 = none */
	enum syscall_mode syscalls;
	bool offcpu;	     /* off-CPU time */
	bool no_wait_stacks; /* of it, the reasons alone: no stacks, no wakers */
	enum heap_mode heap;
	const char *heap_library;  /* libperftop_heap.so, NULL = not found; for HEAP_SAMPLE */
	bool heap_preloaded;	   /* the command was launched with it */
	bool in_process;	   /* -e by a library in the process instead of eBPF */
	const char *calls_library; /* libperftop_calls.so; for in_process */
	bool calls_preloaded;	   /* the command was launched with it */
	bool no_bpf;		   /* behave as without privilege */
	bool force;		   /* attach in spite of the estimated cost */
	double max_overhead_pct;   /* of one CPU: what probes may take; 0 = no limit */
	const char *probes[SESSION_MAX_PROBES]; /* -e */
	uint32_t nprobes;
	bool first_tick_soon; /* show something at once, then keep the interval */
	bool record_overwrite;
	double replay_speed;	    /* 1 = as recorded, 0 = as fast as it is read */
	uint64_t latency_target_ns; /* goal for p99 of probed functions, 0 = none */
	uint64_t slower_ns; /* calls that take longer leave evidence; 0 = than the function's p99 */
	bool no_tails;	    /* none does */
};

/*
 * session_new checks the target and prepares; session_start makes the first tick's thread. A
 * message for the user is left in why on failure: what failed, why, and the fix.
 */
struct session *session_new(const struct session_config *cfg, int *err, char *why, size_t why_size);
int session_start(struct session *se);
void session_free(struct session *se); /* stops the thread, detaches everything */

/*
 * The newest snapshot, or NULL when none came since the last call. The reader owns the returned
 * snapshot until its next call. One reader thread.
 */
const struct snapshot *session_snapshot(struct session *se);

/* Readable whenever a new snapshot is there; for poll(2). */
int session_eventfd(struct session *se);

/* Commands from the reader; they take effect at the next tick. */
void session_reset(struct session *se);
void session_set_interval(struct session *se, uint64_t interval_ns);
void session_stop(struct session *se); /* one last tick, then snapshot.finished */

/* How many ticks could not be recorded so far; *err: -errno of the last of them. */
uint64_t session_unrecorded(const struct session *se, int *err);

/* ---- for collectors, on the session's thread ------------------------------------------------ */

const struct session_config *session_config(const struct session *se);
pid_t session_pid(const struct session *se);
uint64_t session_now_ns(const struct session *se); /* CLOCK_MONOTONIC at this tick */
/* Since this collector was asked the time before: a busy machine asks them far apart. */
uint64_t session_interval_ns(const struct session *se);
uint64_t session_since_ns(const struct session *se); /* covered by counts: since attach or reset */
struct symbols *session_symbols(struct session *se); /* NULL when maps cannot be read */
/*
 * Of one of the processes watched (ids mean the same in all of them), and its unwinder, which all
 * collectors share. NULL when its mappings cannot be read or it is none of them.
 */
struct symbols *session_symbols_of(struct session *se, pid_t pid);
struct unwinder *session_unwinder(struct session *se, pid_t pid);
/* Whose a record of eBPF is, by the process's number in the kernel; 0: of none that is watched. */
pid_t session_pid_of(struct session *se, uint32_t tgid);
struct sample_trail *session_trail(struct session *se);	   /* the last CPU samples */
struct target_set *session_target_set(struct session *se); /* the processes beside session_pid() */
struct bpf *session_bpf(struct session *se);		   /* loaded eBPF object, or NULL */
struct probe_plan *session_plan(struct session *se);	   /* resolved -e probes, or NULL */
const char *session_tier(const struct session *se);

/* Call fn on the session's thread whenever fd is readable, until session_unwatch. */
int session_watch(struct session *se, int fd, void (*fn)(struct session *, void *), void *priv);
void session_unwatch(struct session *se, int fd);

/*
 * A timer that calls fn in the same way, not set yet; its descriptor or -errno. *fd may be
 * negative, and is after the end. Set: once after first_ns and then each every_ns (0: not again);
 * first_ns 0: off. Rang: what fn asks first, which makes it quiet until it rings again.
 */
int session_timer_new(struct session *se, void (*fn)(struct session *, void *), void *priv);
void session_timer_end(struct session *se, int *fd);
void session_timer_set(int fd, uint64_t first_ns, uint64_t every_ns);
bool session_timer_rang(int fd);

/* State and reason of the calling collector's section; fix may be NULL. */
void session_section(struct session *se, const char *name, enum section_status status,
		     const char *fix, const char *reason, ...)
	__attribute__((format(printf, 5, 6)));
/* What a collector said of its section, as far as it has started; NULL: nothing yet. */
const struct snap_section *session_find_section(const struct session *se, const char *name);
/* A line for the user about what happened to the target. */
void session_event(struct session *se, const char *text, ...) __attribute__((format(printf, 2, 3)));
/* The same for what happens all the time: it takes the place of the last line of this kind. */
void session_event_again(struct session *se, const char *kind, const char *text, ...)
	__attribute__((format(printf, 3, 4)));

/* The command that would grant what an unprivileged perftop lacks. */
const char *session_privilege_fix(const struct session *se);

/* What collectors tell the cost section each tick. */
struct session_cost {
	uint64_t events; /* handled in the last interval */
	uint64_t dropped;
	uint64_t throttled;
	double target_ns; /* estimated ns taken from the target in the last interval */
};
/*
 * What a context switch of the target costs when it is seen, and what all of them may take a
 * second; 0: no limit, or not known yet.
 */
struct session_switch_cost {
	double ns_each, allowance_ns;
};
const struct session_switch_cost *session_switch_cost(const struct session *se);
void session_set_switch_cost(struct session *se, const struct session_switch_cost *c);

/* What a hook adds to what the target does, apart from its program's run time, ns. */
double session_hook_ns(const struct session *se);
void session_set_hook_ns(struct session *se, double ns);

void session_add_cost(struct session *se, const struct session_cost *c);
const struct session_cost *session_cost(const struct session *se); /* of this tick so far */

#endif
