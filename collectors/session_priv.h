/* SPDX-License-Identifier: Apache-2.0 */
/* session_priv.h: what the session's own files share. Nobody else includes it. */
#ifndef COLLECTORS_SESSION_PRIV_H
#define COLLECTORS_SESSION_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "collectors/mailbox.h"
#include "collectors/privilege.h"
#include "collectors/sample_trail.h"
#include "collectors/session.h"
#include "collectors/target.h"
#include "collectors/target_set.h"

struct recorder;
struct replay;
struct rules;

enum {
	SESSION_MAX_COLLECTORS = 32,
	SESSION_MAX_WATCHES = 16,
	/* A first look soon after the start, long enough for rates to mean something. */
	SESSION_FIRST_TICK_NS = 30 * 1000 * 1000,
	SESSION_LEAST_TICK_NS = 20 * 1000 * 1000, /* for those that start last */
	/* A target that runs execve all the time is attached to once a second, after a few times.
	 */
	SESSION_HASTY_EXECS = 5,
	SESSION_HASTY_NS = 1000 * 1000 * 1000,
	SESSION_PLAN_TRIES = 5, /* ticks after an exec in which -e may still find its functions */
};

struct session_watch {
	int fd;
	void (*fn)(struct session *, void *);
	void *priv;
};

struct session {
	struct session_config cfg;
	struct mailbox box;
	pthread_t thread;
	bool running;
	int news_fd, command_fd; /* eventfds: to the reader, to the session's thread */

	/* Written by the reader, read by the thread. */
	_Atomic bool want_reset, want_stop, want_quit;
	_Atomic uint64_t want_interval_ns;

	/* From here on the thread's own. */
	struct target target;
	struct target_set others;
	struct privilege privilege;
	struct symbols *symbols;
	struct unwinder *unwinder; /* of the first process; made when it is asked for */
	struct probe_plan *plan;
	struct bpf *bpf;
	int glance_fd;	     /* a timer, -1 where no children are followed */
	uint32_t plan_tries; /* left: after an exec the libraries come one by one */
	void *priv[SESSION_MAX_COLLECTORS];
	bool started[SESSION_MAX_COLLECTORS];
	uint64_t asked_ns[SESSION_MAX_COLLECTORS]; /* the time before, or started */
	struct session_watch watches[SESSION_MAX_WATCHES];
	uint32_t nwatches;
	struct snap_section sections[SNAP_SECTIONS];
	uint32_t nsections;
	struct snap_event events[SNAP_EVENTS];
	uint32_t nevents;
	struct session_cost cost;
	struct session_switch_cost switch_cost;
	double hook_ns;
	struct sample_trail trail;
	struct rules *rules;
	struct recorder *recorder;
	struct replay *replay;
	uint64_t seq, now_ns, last_ns, reset_ns;
	uint64_t started_ns;		       /* the last collector, where last_ns is the first */
	uint64_t interval_ns;		       /* of the collector that is asked now */
	uint64_t attached_ns, attach_after_ns; /* when last, and when next: 0 unless it waits */
	uint32_t hasty_execs;
	_Atomic uint64_t record_lost; /* ticks, */
	_Atomic int record_error;     /* and why the last of them: -errno */
	bool said_stopped;
	bool finished;
};

/* ---- session_attach.c ---- */

/* The target's mappings; se->symbols stays NULL where they cannot be read. */
void session_open_symbols(struct session *se);

/* Find what -e names. 0, or -errno with the reason. */
int session_resolve_probes(struct session *se, char *why, size_t why_size);

/* Load eBPF and start the collectors; take all of it away again, symbols and plan too. */
void session_attach(struct session *se);
/* The collectors that need neither symbols nor eBPF, after session_detach. */
void session_attach_lightly(struct session *se, const char *why);
void session_detach(struct session *se);

/* After an attach: when rates will mean something. */
uint64_t session_ready_ns(const struct session *se);

/* For what takes long, when the first interval begins or a tick is on its way. */
void session_settle(struct session *se);

/* A new program runs under the same pid: nothing known of the old one holds. */
void session_reattach(struct session *se);

/* The loader maps a program's libraries after the exec: look for what -e names again. */
void session_retry_probes(struct session *se);

/* ---- session_tick.c ---- */

/* Fill a snapshot and publish it. */
void session_tick(struct session *se);

/* Hand the mailbox's slot to the reader. */
void session_publish(struct session *se);

/* ---- session_loop.c ---- */

/* Sleep until `until_ns`, serving watched fds and commands; the target's exit ends it early. */
void session_wait_until(struct session *se, uint64_t until_ns);
/* The same, whatever is asked meanwhile: for less than a second. */
void session_let_pass(uint64_t until_ns);

/* The thread; arg is the session. */
void *session_main(void *arg);

#endif
