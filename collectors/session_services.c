/* SPDX-License-Identifier: Apache-2.0 */
/* session_services.c: what collectors ask of the session and tell it. */
#include "collectors/session_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/unwind.h"

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
	return se->interval_ns;
}

uint64_t session_since_ns(const struct session *se)
{
	return se->now_ns - se->reset_ns;
}

struct symbols *session_symbols(struct session *se)
{
	return se->symbols;
}

struct symbols *session_symbols_of(struct session *se, pid_t pid)
{
	if (pid == se->target.pid || !target_set_many(&se->others))
		return se->symbols;
	return target_set_symbols(&se->others, pid, se->symbols);
}

pid_t session_pid_of(struct session *se, uint32_t tgid)
{
	return target_set_many(&se->others) ? target_set_pid_of(&se->others, tgid) : se->target.pid;
}

struct unwinder *session_unwinder(struct session *se, pid_t pid)
{
	if (pid != se->target.pid && target_set_many(&se->others))
		return target_set_unwinder(&se->others, pid, se->symbols);
	if (!se->unwinder && se->symbols)
		se->unwinder = unwind_new(se->symbols);
	return se->unwinder;
}

struct sample_trail *session_trail(struct session *se)
{
	return &se->trail;
}

struct target_set *session_target_set(struct session *se)
{
	return &se->others;
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

const struct snap_section *session_find_section(const struct session *se, const char *name)
{
	for (uint32_t i = 0; i < se->nsections; i++)
		if (!strcmp(se->sections[i].name, name))
			return &se->sections[i];
	return NULL;
}

static struct snap_section *make_section(struct session *se, const char *name)
{
	const struct snap_section *known = session_find_section(se, name);

	if (known)
		return &se->sections[known - se->sections];
	if (se->nsections == SNAP_SECTIONS)
		return NULL;
	snapshot_string(se->sections[se->nsections].name, sizeof(se->sections[0].name), name);
	return &se->sections[se->nsections++];
}

void session_section(struct session *se, const char *name, enum section_status status,
		     const char *fix, const char *reason, ...)
{
	struct snap_section *sec = make_section(se, name);
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

const struct session_switch_cost *session_switch_cost(const struct session *se)
{
	return &se->switch_cost;
}

void session_set_switch_cost(struct session *se, const struct session_switch_cost *c)
{
	se->switch_cost = *c;
}

double session_hook_ns(const struct session *se)
{
	return se->hook_ns;
}

void session_set_hook_ns(struct session *se, double ns)
{
	se->hook_ns = ns;
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

int session_timer_new(struct session *se, void (*fn)(struct session *, void *), void *priv)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), err;

	if (fd < 0)
		return -errno;
	err = session_watch(se, fd, fn, priv);
	if (!err)
		return fd;
	close(fd);
	return err;
}

void session_timer_end(struct session *se, int *fd)
{
	if (*fd < 0)
		return;
	session_unwatch(se, *fd);
	close(*fd);
	*fd = -1;
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
				 .tv_nsec = (long)(ns % 1000000000u)};
}

void session_timer_set(int fd, uint64_t first_ns, uint64_t every_ns)
{
	const struct itimerspec in = {.it_value = to_timespec(first_ns),
				      .it_interval = to_timespec(every_ns)};

	timerfd_settime(fd, 0, &in, NULL);
}

bool session_timer_rang(int fd)
{
	uint64_t expirations;

	return read(fd, &expirations, sizeof(expirations)) > 0;
}
