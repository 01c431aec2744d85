/* SPDX-License-Identifier: Apache-2.0 */
/* target_set.h: the processes watched beside the first: given, of a control group, forked. */
#ifndef PERFTOP_TARGET_SET_H
#define PERFTOP_TARGET_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/process_use.h"
#include "collectors/snapshot.h"
#include "probes/contract.h"

struct bpf;
struct symbols;
struct unwinder;

enum {
	TARGET_SET_MAX = 1024,	  /* processes; more are counted */
	TARGET_SET_SYMBOLS = 256, /* of them, whose mappings are kept at a time */
};

struct target_process {
	pid_t pid, parent;
	uint32_t tgid; /* its number in the kernel: another one in a pid namespace; 0 = not known */
	uint64_t starttime;	/* clock ticks since boot: tells a reused pid */
	uint64_t cpu_ticks;	/* user and system, at the last look */
	struct process_use use; /* its own, at the last look */
	uint64_t seen;		/* the look that found it */
	uint64_t found_ns;
	uint64_t planned; /* symbols_generation() that the probes know, 0 = none */
	bool old;	  /* it was there before the set: what it has used so far does not count */
	bool fresh;	  /* it came after the last tick: cpu_ticks is no base yet */
	bool mapped;	  /* eBPF knows it */
	bool probed;	  /* its functions are */
	bool sampled;	  /* its threads are, where that is not by eBPF */
	bool gone;	  /* it has ended; kept for one more tick, for what is still to be read */
	struct snap_process row;
	struct symbols *symbols; /* NULL until asked for, or when they cannot be read */
	struct unwinder *unwinder;
	bool opened; /* they were asked for */
};

/* The first process is not in it: the session keeps that. */
struct target_set {
	struct target_process *v; /* by pid */
	uint32_t n, cap, nsymbols;
	long tick_ns, page_bytes;
	const char *cgroup; /* directory, NULL = none; borrowed */
	bool follow;	    /* children too */
	bool translated;    /* pids are not the kernel's */
	uint32_t first_tgid;
	pid_t first;
	uint64_t looks, last_ns;
	uint64_t news, news_ns; /* bpf_follow_news() at the last glance, and when it last grew */
	uint64_t unwatched;	/* processes that found no place, at the last look */
	uint64_t gone;		/* that have ended */
	/* Since the set began: of all but the first, those that came and went between looks too. */
	struct process_use use;
	bool by_parents; /* eBPF does not tell what ended had used: who waited for it does */
	struct process_use first_children; /* then: waited for by the first, at the last look */
	struct contract_ended ended;	   /* at the last look */
};

/* pids[0..n) beside `first`, which may be among them. 0 or -ENOMEM. */
int target_set_init(struct target_set *t, pid_t first, const pid_t *pids, uint32_t n,
		    const char *cgroup, bool follow);
void target_set_fini(struct target_set *t);

/* Before eBPF and symbols are taken away: the processes stay. */
void target_set_detach(struct target_set *t);

/* More than the first process may be meant. */
bool target_set_many(const struct target_set *t);

/* Before the first look: children that are there, where they are followed. */
void target_set_children(struct target_set *t);

/*
 * Look again: who came (control group; children, from eBPF's map or else /proc), who went; fills
 * the rows. b may be NULL; its map is brought up to date. Call it once a tick.
 */
void target_set_refresh(struct target_set *t, struct bpf *b, uint64_t now_ns);

/*
 * Between ticks, where children are followed: those that came since, and what they map, which tells
 * where they were when they are gone by the next tick. Costs next to nothing while none comes. True
 * when one came, or maps other files.
 */
bool target_set_glance(struct target_set *t, struct bpf *b, struct symbols *first, uint64_t now_ns);

/* pid leaves the set and is the first process from now on. */
void target_set_promote(struct target_set *t, pid_t pid);

/* Of a process by its number in the kernel; 0 when it is none of these, nor the first. */
pid_t target_set_pid_of(struct target_set *t, uint32_t tgid);

struct target_process *target_set_find(struct target_set *t, pid_t pid);

/* Symbols of one of them, opened beside `first`'s; NULL when they cannot be read. */
struct symbols *target_set_symbols(struct target_set *t, pid_t pid, struct symbols *first);
struct unwinder *target_set_unwinder(struct target_set *t, pid_t pid, struct symbols *first);

/*
 * Directory of a container's control group, by its ID or the beginning of it: under
 * /sys/fs/cgroup, as docker, podman, containerd and CRI-O name them. 0 or -errno with a sentence.
 */
int target_set_find_container(const char *id, char *path, size_t size, char *why, size_t why_size);

/*
 * A path as a user gives it ("system.slice/redis.service", with or without /sys/fs/cgroup) to the
 * directory; the processes in it and below to pids[0..*n). 0 or -errno with a sentence.
 */
int target_set_open_cgroup(const char *given, char *path, size_t size, pid_t *pids, uint32_t *n,
			   uint32_t max, char *why, size_t why_size);

#endif
