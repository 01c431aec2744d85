/* SPDX-License-Identifier: Apache-2.0 */
/* session_tick.c: one tick: look at the target, ask the collectors, publish. */
#include "collectors/session_priv.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "collectors/collector.h"
#include "collectors/recorder.h"
#include "collectors/rules.h"
#include "collectors/symbols.h"

static void fill_frame(struct session *se, struct snapshot *s)
{
	snapshot_clear(s);
	s->seq = ++se->seq;
	s->time_ns = clock_real_ns();
	s->mono_ns = se->now_ns;
	s->interval_ns = se->now_ns - se->last_ns;
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

/* Rates of an interval of microseconds would mean nothing. */
static void wait_until_ready(struct session *se)
{
	session_wait_until(se, session_ready_ns(se));
	session_let_pass(session_ready_ns(se));
}

static void attach_to_new_program(struct session *se)
{
	se->attach_after_ns = 0;
	se->plan_tries = se->cfg.nprobes ? SESSION_PLAN_TRIES : 0;
	session_reattach(se);
	wait_until_ready(se);
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
	se->attach_after_ns = se->attached_ns + SESSION_HASTY_NS;
	session_detach(se);
	session_attach_lightly(se,
			       "the target runs execve all the time: attached to once a second");
	wait_until_ready(se);
}

/* The first of several has ended: another one takes its place. */
static bool go_on_with_another(struct session *se)
{
	char why[SNAP_TEXT];
	pid_t was = se->target.pid;

	for (uint32_t i = 0; i < se->others.n; i++) {
		pid_t pid = se->others.v[i].pid;
		struct target next;

		if (se->others.v[i].gone || target_init(&next, pid, why, sizeof(why)))
			continue;
		target_fini(&se->target);
		se->target = next;
		target_set_promote(&se->others, pid);
		session_event(se,
			      "process %d has ended; %u go on, now with %d first; counts begin "
			      "anew",
			      was, 1 + se->others.n, pid);
		return true;
	}
	return false;
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
		if (se->target.state == TARGET_EXITED && go_on_with_another(se)) {
			attach_to_new_program(se);
		} else if (se->target.state == TARGET_EXITED) {
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
	atomic_store(&se->record_error, err);
	atomic_fetch_add(&se->record_lost, 1);
	session_section(se, "record", SECTION_DEGRADED, "free space on that file system",
			"%llu ticks not recorded to %s: %s",
			(unsigned long long)atomic_load(&se->record_lost), se->cfg.record_path,
			strerror(-err));
}

void session_publish(struct session *se)
{
	uint64_t one = 1;

	mailbox_publish(&se->box);
	/* Cannot block: the counter would have to reach 2^64 - 1. */
	if (write(se->news_fd, &one, sizeof(one)) < 0)
		return;
}

/* What it counts it reads now, not when the tick began. */
static void ask(struct session *se, uint32_t i, struct snapshot *s)
{
	uint64_t now = clock_mono_ns();

	se->interval_ns = now - se->asked_ns[i];
	se->asked_ns[i] = now;
	collectors[i]->tick(se, se->priv[i], s);
}

void session_tick(struct session *se)
{
	struct snapshot *s = mailbox_slot(&se->box);
	uint64_t tick_ns;

	look_at_target(se);
	if (se->attach_after_ns && clock_mono_ns() >= se->attach_after_ns && !se->finished)
		attach_to_new_program(se);
	session_retry_probes(se);
	if (se->symbols && !se->finished)
		symbols_refresh(se->symbols);
	if (target_set_many(&se->others))
		target_set_refresh(&se->others, se->bpf, clock_mono_ns());
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
			ask(se, i, s);
	fill_texts(se, s);
	rules_run(se->rules, s);
	record(se, s);
	session_publish(se);
	session_settle(se);
	se->last_ns = tick_ns;
}
