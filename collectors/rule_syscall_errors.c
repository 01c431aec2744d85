/* SPDX-License-Identifier: Apache-2.0 */
/* rule_syscall_errors.c: something is used up, or calls fail all the time. */
#include <stdio.h>
#include <string.h>

#include "collectors/rules.h"

/* Calls a second that fail: above it, what they cost is worth a look. */
#define FAILED_RATE 1000.0

static const struct {
	const char *error, *what, *advice;
} used_up[] = {
	{"EMFILE", "the process may open no more descriptors",
	 "close what is not needed (ls -l /proc/PID/fd), or raise the limit: prlimit --nofile"},
	{"ENFILE", "the system may open no more files",
	 "see /proc/sys/fs/file-nr, and raise "
	 "fs.file-max"},
	{"ENOSPC", "no space is left, or no place for what it asked for",
	 "df -h and df -i; for inotify and epoll, the limits in /proc/sys/fs"},
	{"EDQUOT", "a disk quota is used up", "quota -v of its user"},
	{"ENOMEM", "no memory is given, or no more mappings",
	 "compare Memory with the limits of the process (prlimit) and of its control group, and "
	 "the "
	 "number of mappings with vm.max_map_count"},
	{"EIO", "a device reports errors", "dmesg tells which"},
};

/* How programs that do not wait ask again: part of their work. */
static bool is_usual(const char *error)
{
	static const char *const usual[] = {"EAGAIN", "EINTR", "ETIMEDOUT", "EINPROGRESS",
					    "ECHILD"};

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (!strcmp(error, usual[i]))
			return true;
	return !error[0];
}

static const char *grave(const struct snap_latency *l, const char **advice)
{
	for (size_t i = 0; i < sizeof(used_up) / sizeof(used_up[0]); i++)
		if (!strcmp(l->error, used_up[i].error)) {
			*advice = used_up[i].advice;
			return used_up[i].what;
		}
	return NULL;
}

static double failed_rate(const struct snap_latency *l)
{
	return l->rate * l->failed_pct / 100;
}

static void say(const struct snap_latency *l, const char *what, const char *advice,
		struct snap_alert *a)
{
	double rate = failed_rate(l);

	a->severity = what ? ALERT_CRITICAL : ALERT_WARNING;
	a->value = rate;
	a->threshold = what ? 0 : FAILED_RATE;
	snprintf(a->subject, sizeof(a->subject), "%s", l->name);
	snprintf(a->evidence, sizeof(a->evidence),
		 "%s%s%s%s fails %.*f times a second, %.0f %% of its "
		 "calls, with %s%s%s",
		 l->name, l->module[0] ? " (" : "", l->module, l->module[0] ? ")" : "",
		 rate < 10 ? 1 : 0, rate, l->failed_pct, l->error, what ? ": " : "",
		 what ? what : "");
	snprintf(a->advice, sizeof(a->advice), "%s", advice);
}

bool rule_syscall_errors_check(const struct snapshot *s, struct snap_alert *a)
{
	const struct snap_latency *most = NULL;
	const char *advice =
		"strace -Z -p PID shows with what arguments: files that are looked for in "
		"vain, for example, can be found once and kept";

	for (uint32_t i = 0; i < s->nsyscalls; i++) {
		const struct snap_latency *l = &s->syscalls[i];
		const char *what = grave(l, &advice);

		if (failed_rate(l) > 0 && what) {
			say(l, what, advice, a);
			return true;
		}
		if (!is_usual(l->error) && failed_rate(l) >= FAILED_RATE &&
		    (!most || failed_rate(l) > failed_rate(most)))
			most = l;
	}
	if (most)
		say(most, NULL, advice, a);
	return most;
}
