/* SPDX-License-Identifier: Apache-2.0 */
/* session.c: the target, the collectors, the thread and the tick. */
#include "collectors/session.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "collectors/collector.h"
#include "collectors/mailbox.h"
#include "collectors/privilege.h"
#include "collectors/procfs.h"
#include "collectors/probe_plan.h"
#include "collectors/recorder.h"
#include "collectors/replay.h"
#include "collectors/rules.h"
#include "collectors/symbols.h"
#include "collectors/target.h"

enum {
	SESSION_MAX_COLLECTORS = 16,
	SESSION_MAX_WATCHES = 8,
	/* A first look soon after the start, long enough for rates to mean something. */
	SESSION_FIRST_TICK_NS = 30 * 1000 * 1000,
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
	struct privilege privilege;
	struct symbols *symbols;
	struct probe_plan *plan;
	struct bpf *bpf;
	uint32_t plan_tries; /* left: after an exec the libraries come one by one */
	void *priv[SESSION_MAX_COLLECTORS];
	bool started[SESSION_MAX_COLLECTORS];
	struct session_watch watches[SESSION_MAX_WATCHES];
	uint32_t nwatches;
	struct snap_section sections[SNAP_SECTIONS];
	uint32_t nsections;
	struct snap_event events[SNAP_EVENTS];
	uint32_t nevents;
	struct session_cost cost;
	struct rules *rules;
	struct recorder *recorder;
	struct replay *replay;
	uint64_t seq, now_ns, last_ns, reset_ns, interval_ns;
	uint64_t attached_ns, attach_after_ns; /* when last, and when next: 0 unless it waits */
	uint32_t hasty_execs;
	uint64_t record_lost;
	bool said_stopped;
	bool finished;
};

/* ---- small accessors ------------------------------------------------------------------------ */

const struct session_config *session_config(const struct session *se)
{
	return &se->cfg;
}

pid_t session_pid(const struct session *se)
{
	return se->target.pid;
}

uint64_t session_now_ns(const struct session *se)
{
	return se->now_ns;
}

uint64_t session_interval_ns(const struct session *se)
{
	return se->now_ns - se->last_ns;
}

uint64_t session_since_ns(const struct session *se)
{
	return se->now_ns - se->reset_ns;
}

struct symbols *session_symbols(struct session *se)
{
	return se->symbols;
}

struct bpf *session_bpf(struct session *se)
{
	return se->bpf;
}

struct probe_plan *session_plan(struct session *se)
{
	return se->plan;
}

const char *session_tier(const struct session *se)
{
	return se->privilege.tier;
}

const char *session_privilege_fix(const struct session *se)
{
	return se->privilege.fix;
}

static struct snap_section *find_section(struct session *se, const char *name)
{
	for (uint32_t i = 0; i < se->nsections; i++)
		if (!strcmp(se->sections[i].name, name))
			return &se->sections[i];
	if (se->nsections == SNAP_SECTIONS)
		return NULL;
	snapshot_string(se->sections[se->nsections].name, sizeof(se->sections[0].name), name);
	return &se->sections[se->nsections++];
}

void session_section(struct session *se, const char *name, enum section_status status,
		     const char *fix, const char *reason, ...)
{
	struct snap_section *sec = find_section(se, name);
	char text[SNAP_TEXT];
	va_list ap;

	if (!sec)
		return;
	va_start(ap, reason);
	vsnprintf(text, sizeof(text), reason, ap);
	va_end(ap);
	sec->status = status;
	snapshot_string(sec->reason, sizeof(sec->reason), text);
	snapshot_string(sec->fix, sizeof(sec->fix), fix ? fix : "");
}

static void drop_event(struct session *se, uint32_t i)
{
	se->nevents--;
	memmove(&se->events[i], &se->events[i + 1], (se->nevents - i) * sizeof(se->events[0]));
}

static void append_event(struct session *se, const char *text, va_list ap)
{
	char line[SNAP_TEXT];

	vsnprintf(line, sizeof(line), text, ap);
	if (se->nevents == SNAP_EVENTS)
		drop_event(se, 0);
	se->events[se->nevents].time_ns = clock_real_ns();
	snapshot_string(se->events[se->nevents].text, SNAP_TEXT, line);
	se->nevents++;
}

void session_event(struct session *se, const char *text, ...)
{
	va_list ap;

	va_start(ap, text);
	append_event(se, text, ap);
	va_end(ap);
}

void session_event_again(struct session *se, const char *kind, const char *text, ...)
{
	va_list ap;

	for (uint32_t i = 0; i < se->nevents; i++)
		if (!strncmp(se->events[i].text, kind, strlen(kind))) {
			drop_event(se, i);
			break;
		}
	va_start(ap, text);
	append_event(se, text, ap);
	va_end(ap);
}

void session_add_cost(struct session *se, const struct session_cost *c)
{
	se->cost.events += c->events;
	se->cost.dropped += c->dropped;
	se->cost.throttled += c->throttled;
	se->cost.target_ns += c->target_ns;
}

const struct session_cost *session_cost(const struct session *se)
{
	return &se->cost;
}

int session_watch(struct session *se, int fd, void (*fn)(struct session *, void *), void *priv)
{
	if (se->nwatches == SESSION_MAX_WATCHES)
		return -ENOSPC;
	se->watches[se->nwatches++] = (struct session_watch){.fd = fd, .fn = fn, .priv = priv};
	return 0;
}

void session_unwatch(struct session *se, int fd)
{
	for (uint32_t i = 0; i < se->nwatches; i++)
		if (se->watches[i].fd == fd) {
			se->watches[i] = se->watches[--se->nwatches];
			return;
		}
}

/* ---- attaching ------------------------------------------------------------------------------ */

static int resolve_probes(struct session *se, char *why, size_t why_size)
{
	struct place_options opt = {.pid = se->target.pid, .force = se->cfg.force};

	if (!se->cfg.nprobes)
		return 0;
	if (!se->symbols) {
		snprintf(why, why_size,
			 "the mappings of pid %d cannot be read, so -e finds no function; "
			 "run as its user or as root",
			 se->target.pid);
		return -EACCES;
	}
	probe_plan_free(se->plan);
	se->plan =
		probe_plan_new(se->symbols, se->cfg.probes, se->cfg.nprobes, &opt, why, why_size);
	return se->plan ? 0 : -ENOENT;
}

static void open_symbols(struct session *se)
{
	se->symbols = symbols_new(procfs_live_tid(se->target.pid));
	if (se->symbols && symbols_refresh(se->symbols)) {
		symbols_free(se->symbols);
		se->symbols = NULL;
	}
}

static void load_bpf(struct session *se)
{
	struct bpf_request req = {
		.pid = se->target.pid,
		.nslots = se->plan ? probe_plan_slots(se->plan) : 0,
		.sessions = bpf_has_uprobe_session(),
		.sample = se->cfg.sample_hz > 0,
		.offcpu = se->cfg.offcpu,
		.syscalls = se->cfg.syscalls != SYSCALL_OFF,
	};
	char why[SNAP_TEXT] = "turned off by --no-bpf", fix[SNAP_TEXT] = "";

	if (!se->cfg.no_bpf)
		se->bpf = bpf_new(&req, why, sizeof(why), fix, sizeof(fix));
	if (se->bpf)
		session_section(se, "bpf", SECTION_LIVE, NULL, "eBPF programs loaded");
	else
		session_section(se, "bpf", SECTION_ABSENT, fix, "%s", why);
}

static void start_collectors(struct session *se)
{
	for (uint32_t i = 0; i < ncollectors && i < SESSION_MAX_COLLECTORS; i++)
		if (!se->started[i])
			se->started[i] = !collectors[i]->start(se, &se->priv[i]);
}

static void stop_collectors(struct session *se)
{
	for (uint32_t i = 0; i < ncollectors && i < SESSION_MAX_COLLECTORS; i++)
		if (se->started[i]) {
			collectors[i]->stop(se, se->priv[i]);
			se->priv[i] = NULL;
			se->started[i] = false;
		}
}

static void detach(struct session *se)
{
	stop_collectors(se);
	bpf_free(se->bpf);
	se->bpf = NULL;
	probe_plan_free(se->plan);
	se->plan = NULL;
	symbols_free(se->symbols);
	se->symbols = NULL;
}

static void attach(struct session *se)
{
	load_bpf(se);
	start_collectors(se);
	se->reset_ns = se->last_ns = se->attached_ns = clock_mono_ns();
}

/* A new program runs under the same pid: nothing known of the old one holds. */
static void reattach(struct session *se)
{
	char why[SNAP_TEXT];

	detach(se);
	open_symbols(se);
	if (!resolve_probes(se, why, sizeof(why)))
		se->plan_tries = 0;
	else if (!se->plan_tries)
		session_event(se, "-e names nothing in the new program: %.180s", why);
	attach(se);
}

/* The loader maps a program's libraries after the exec: look for what -e names again. */
static void retry_probes(struct session *se)
{
	char why[SNAP_TEXT];

	if (!se->plan_tries || se->finished || !se->symbols)
		return;
	se->plan_tries--;
	symbols_exec(se->symbols);
	if (symbols_refresh(se->symbols))
		return;
	if (!resolve_probes(se, why, sizeof(why)) || !se->plan_tries)
		reattach(se);
}

/* ---- the tick ------------------------------------------------------------------------------- */

static void fill_frame(struct session *se, struct snapshot *s)
{
	snapshot_clear(s);
	s->seq = ++se->seq;
	s->time_ns = clock_real_ns();
	s->mono_ns = se->now_ns;
	s->interval_ns = session_interval_ns(se);
	s->since_ns = session_since_ns(se);
	s->target = se->target.view;
	snapshot_string(s->target.tier, sizeof(s->target.tier), se->privilege.tier);
}

static void fill_texts(struct session *se, struct snapshot *s)
{
	memcpy(s->sections, se->sections, se->nsections * sizeof(se->sections[0]));
	s->nsections = se->nsections;
	memcpy(s->events, se->events, se->nevents * sizeof(se->events[0]));
	s->nevents = se->nevents;
	s->finished = se->finished;
	if (se->nevents && se->finished)
		snapshot_string(s->target.note, sizeof(s->target.note),
				se->events[se->nevents - 1].text);
}

static void wait_until(struct session *se, uint64_t until_ns);

static void attach_to_new_program(struct session *se)
{
	se->attach_after_ns = 0;
	se->plan_tries = se->cfg.nprobes ? SESSION_PLAN_TRIES : 0;
	reattach(se);
	/* Rates of an interval of microseconds would mean nothing. */
	wait_until(se, se->last_ns + SESSION_FIRST_TICK_NS);
}

/* Attaching takes some 50 ms of a CPU: a target that does nothing but execve must not cost it. */
static void follow_exec(struct session *se)
{
	if (se->attach_after_ns)
		return;
	if (clock_mono_ns() - se->attached_ns > SESSION_HASTY_NS)
		se->hasty_execs = 0;
	if (se->hasty_execs++ < SESSION_HASTY_EXECS) {
		attach_to_new_program(se);
		return;
	}
	detach(se);
	se->attach_after_ns = se->attached_ns + SESSION_HASTY_NS;
	for (uint32_t i = 0; i < se->nsections; i++)
		session_section(se, se->sections[i].name, SECTION_ABSENT, NULL,
				"the target runs execve all the time: attached to once a second");
}

static void look_at_target(struct session *se)
{
	enum target_state was = se->target.state;

	switch (target_refresh(&se->target, se->bpf && bpf_execs(se->bpf))) {
	case TARGET_EXECED:
		session_event_again(se, "the target ran execve",
				    "the target ran execve: now %s; counts begin anew",
				    se->target.view.exe);
		follow_exec(se);
		break;
	case TARGET_STATE:
		if (se->target.state == TARGET_EXITED) {
			session_event(se, "the target (pid %d) has exited", se->target.pid);
			se->finished = true;
		} else if (se->target.state == TARGET_STOPPED) {
			se->said_stopped = true;
			session_event(se, "the target is stopped (SIGSTOP or a debugger)");
		} else if (was == TARGET_STOPPED && se->said_stopped) {
			/* Not for a command that was launched and held until now. */
			session_event(se, "the target goes on");
		}
		break;
	case TARGET_SAME:
		break;
	}
}

static void record(struct session *se, const struct snapshot *s)
{
	int err;

	if (!se->recorder)
		return;
	err = recorder_write(se->recorder, s);
	if (!err) {
		session_section(se, "record", SECTION_LIVE, NULL, "recording to %s",
				se->cfg.record_path);
		return;
	}
	se->record_lost++;
	session_section(se, "record", SECTION_DEGRADED, "free space on that file system",
			"%llu ticks not recorded to %s: %s", (unsigned long long)se->record_lost,
			se->cfg.record_path, strerror(-err));
}

static void publish(struct session *se)
{
	uint64_t one = 1;

	mailbox_publish(&se->box);
	/* Cannot block: the counter would have to reach 2^64 - 1. */
	if (write(se->news_fd, &one, sizeof(one)) < 0)
		return;
}

static void tick(struct session *se)
{
	struct snapshot *s = mailbox_slot(&se->box);
	uint64_t tick_ns;

	look_at_target(se);
	if (se->attach_after_ns && clock_mono_ns() >= se->attach_after_ns && !se->finished)
		attach_to_new_program(se);
	retry_probes(se);
	if (se->symbols && !se->finished)
		symbols_refresh(se->symbols);
	tick_ns = clock_mono_ns();
	se->now_ns = tick_ns;
	if (atomic_exchange(&se->want_reset, false)) {
		for (uint32_t i = 0; i < ncollectors; i++)
			if (se->started[i] && collectors[i]->reset)
				collectors[i]->reset(se, se->priv[i]);
		se->reset_ns = se->last_ns;
	}
	fill_frame(se, s);
	memset(&se->cost, 0, sizeof(se->cost));
	for (uint32_t i = 0; i < ncollectors; i++)
		if (se->started[i])
			collectors[i]->tick(se, se->priv[i], s);
	fill_texts(se, s);
	rules_run(se->rules, s);
	record(se, s);
	publish(se);
	se->last_ns = tick_ns;
}

/* ---- the thread ----------------------------------------------------------------------------- */

/* Sleep until `until_ns`, serving watched fds and commands; the target's exit ends it early. */
static void wait_until(struct session *se, uint64_t until_ns)
{
	for (;;) {
		struct pollfd fds[SESSION_MAX_WATCHES + 2];
		uint64_t now = clock_mono_ns(), left;
		uint32_t n = 0;
		struct timespec timeout;

		if (now >= until_ns || se->want_quit)
			return;
		left = until_ns - now;
		timeout.tv_sec = (time_t)(left / 1000000000u);
		timeout.tv_nsec = (long)(left % 1000000000u);
		fds[n++] = (struct pollfd){.fd = se->command_fd, .events = POLLIN};
		fds[n++] = (struct pollfd){.fd = se->target.pidfd, .events = POLLIN};
		for (uint32_t i = 0; i < se->nwatches; i++)
			fds[n++] = (struct pollfd){.fd = se->watches[i].fd, .events = POLLIN};
		if (ppoll(fds, n, &timeout, NULL) <= 0)
			continue;
		if (fds[0].revents) {
			uint64_t drain;

			if (read(se->command_fd, &drain, sizeof(drain)) < 0)
				return;
			return;
		}
		if (fds[1].revents)
			return;
		for (uint32_t i = n; i-- > 2;)
			if (fds[i].revents && i - 2 < se->nwatches)
				se->watches[i - 2].fn(se, se->watches[i - 2].priv);
	}
}

static uint64_t interval(struct session *se)
{
	return atomic_load(&se->want_interval_ns);
}

static void live_loop(struct session *se)
{
	uint64_t next;

	attach(se);
	next = se->last_ns + (se->cfg.first_tick_soon && interval(se) > SESSION_FIRST_TICK_NS
				      ? SESSION_FIRST_TICK_NS
				      : interval(se));
	while (!se->want_quit && !se->finished) {
		uint64_t step;

		wait_until(se, next);
		if (se->want_quit)
			break;
		if (atomic_load(&se->want_stop))
			se->finished = true;
		tick(se);
		/* Keep the beat; after a long stop or a change, begin a new one. */
		step = interval(se);
		next = se->seq == 1 ? se->reset_ns + step : next + step;
		if (next <= clock_mono_ns() || next > clock_mono_ns() + step)
			next = clock_mono_ns() + step;
	}
}

static void replay_loop(struct session *se)
{
	uint64_t previous_ns = 0;

	while (!se->want_quit) {
		struct snapshot *s = mailbox_slot(&se->box);
		int more;

		snapshot_clear(s);
		more = replay_next(se->replay, s);
		if (more <= 0) {
			/* Show the last tick again, marked as the end. */
			if (!se->seq || replay_seek(se->replay, (uint32_t)se->seq - 1) ||
			    replay_next(se->replay, s) <= 0)
				break;
			s->finished = 1;
			snapshot_string(s->target.note, SNAP_TEXT,
					more < 0 ? "the recording is damaged here"
						 : "end of the recording");
		} else {
			se->seq++;
		}
		s->replaying = 1;
		if (previous_ns && s->mono_ns > previous_ns && se->cfg.replay_speed > 0 && more > 0)
			wait_until(se,
				   clock_mono_ns() + (uint64_t)((double)(s->mono_ns - previous_ns) /
								se->cfg.replay_speed));
		previous_ns = s->mono_ns;
		publish(se);
		if (more <= 0)
			break;
	}
}

static void *session_main(void *arg)
{
	struct session *se = arg;

	pthread_setname_np(pthread_self(), "perftop-session");
	if (se->replay)
		replay_loop(se);
	else
		live_loop(se);
	detach(se);
	return NULL;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int open_files(struct session *se, char *why, size_t why_size)
{
	int err = 0;

	if (se->cfg.replay_path) {
		se->replay = replay_open(se->cfg.replay_path, &err, why, why_size);
		return se->replay ? 0 : err;
	}
	err = target_init(&se->target, se->cfg.pid, why, why_size);
	if (err)
		return err;
	open_symbols(se);
	err = resolve_probes(se, why, why_size);
	if (err)
		return err;
	if (se->cfg.record_path) {
		se->recorder = recorder_new(se->cfg.record_path, se->cfg.record_overwrite, &err,
					    why, why_size);
		if (!se->recorder)
			return err;
	}
	return 0;
}

struct session *session_new(const struct session_config *cfg, int *err, char *why, size_t why_size)
{
	struct session *se = calloc(1, sizeof(*se));

	*err = -ENOMEM;
	snprintf(why, why_size, "out of memory");
	if (!se)
		return NULL;
	se->cfg = *cfg;
	se->target.pidfd = -1;
	atomic_init(&se->want_interval_ns, cfg->interval_ns);
	se->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	se->command_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	privilege_read(&se->privilege);
	se->rules = rules_new();
	if (se->news_fd < 0 || se->command_fd < 0 || !se->rules || mailbox_init(&se->box))
		goto fail;
	*err = open_files(se, why, why_size);
	if (*err)
		goto fail;
	return se;
fail:
	session_free(se);
	return NULL;
}

int session_start(struct session *se)
{
	int err = pthread_create(&se->thread, NULL, session_main, se);

	if (!err)
		se->running = true;
	return -err;
}

static void command(struct session *se)
{
	uint64_t one = 1;

	if (write(se->command_fd, &one, sizeof(one)) < 0)
		return;
}

void session_free(struct session *se)
{
	if (!se)
		return;
	if (se->running) {
		atomic_store(&se->want_quit, true);
		command(se);
		pthread_join(se->thread, NULL);
	} else {
		detach(se);
	}
	recorder_free(se->recorder);
	replay_free(se->replay);
	rules_free(se->rules);
	target_fini(&se->target);
	mailbox_fini(&se->box);
	if (se->news_fd >= 0)
		close(se->news_fd);
	if (se->command_fd >= 0)
		close(se->command_fd);
	free(se);
}

const struct snapshot *session_snapshot(struct session *se)
{
	uint64_t drain;

	if (read(se->news_fd, &drain, sizeof(drain)) < 0 && errno != EAGAIN)
		return NULL;
	return mailbox_take(&se->box);
}

int session_eventfd(struct session *se)
{
	return se->news_fd;
}

void session_reset(struct session *se)
{
	atomic_store(&se->want_reset, true);
	command(se);
}

void session_set_interval(struct session *se, uint64_t interval_ns)
{
	atomic_store(&se->want_interval_ns, interval_ns);
}

void session_stop(struct session *se)
{
	atomic_store(&se->want_stop, true);
	command(se);
}
