/* SPDX-License-Identifier: Apache-2.0 */
/* tail_summary.c: what a function's slow calls have in common, in one sentence. */
#include "tui/tail_summary.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tui/format.h"

enum {
	FAULT_NS = 1000, /* of one minor fault, where nobody has measured it */
	MANY_FAULTS = 16,
};

enum tail_cause tail_cause_of(const struct snapshot *s, const struct snap_tail *t, uint64_t *ns)
{
	uint64_t one = s->nheap && s->heap.fault_ns ? s->heap.fault_ns : FAULT_NS;
	uint64_t faults = t->minflt >= MANY_FAULTS ? t->minflt * one : 0;

	if (faults > t->cpu_ns)
		faults = t->cpu_ns;
	if (t->blocked_ns >= t->cpu_ns && t->blocked_ns >= t->runq_ns) {
		*ns = t->blocked_ns;
		return TAIL_BLOCKED;
	}
	if (t->runq_ns > t->cpu_ns) {
		*ns = t->runq_ns;
		return TAIL_QUEUED;
	}
	*ns = faults * 2 > t->cpu_ns ? faults : t->cpu_ns;
	return faults * 2 > t->cpu_ns ? TAIL_FAULTS : TAIL_ON_CPU;
}

/* "mutex 0x… held by worker/12" is of the mutex, "read pipe:[12]" of reading pipes. */
static size_t kind_length(const char *what)
{
	const char *held = strstr(what, " held by "), *number = strstr(what, ":[");

	if (held)
		return (size_t)(held - what);
	return number ? (size_t)(number - what) : strlen(what);
}

static bool same_kind(const struct snap_tail *x, const struct snap_tail *y)
{
	size_t n = kind_length(x->what);

	return x->reason == y->reason && n == kind_length(y->what) && !strncmp(x->what, y->what, n);
}

/* Calls that are slow for one reason. */
struct group {
	const struct snap_tail *first;
	enum tail_cause cause;
	uint32_t n;
	uint64_t ns, all_ns, minflt;
};

struct groups {
	uint32_t calls, n;
	struct group g[SNAP_TAILS];
};

static void add_call(const struct snapshot *s, const struct snap_tail *t, struct groups *all)
{
	uint64_t ns;
	enum tail_cause cause = tail_cause_of(s, t, &ns);
	struct group *g = all->g;

	while (g < all->g + all->n &&
	       (g->cause != cause || (cause == TAIL_BLOCKED && !same_kind(g->first, t))))
		g++;
	if (g == all->g + all->n) {
		*g = (struct group){.first = t, .cause = cause};
		all->n++;
	}
	all->calls++;
	g->n++;
	g->ns += ns;
	g->all_ns += t->ns;
	g->minflt += t->minflt;
}

/* The group that most time went to, but for `but`: a rare long call outweighs many short ones. */
static const struct group *heaviest(const struct groups *all, const struct group *but)
{
	const struct group *best = NULL;

	for (uint32_t i = 0; i < all->n; i++) {
		const struct group *g = &all->g[i];

		if (g != but && (!best || g->all_ns > best->all_ns))
			best = g;
	}
	return best;
}

struct text {
	char *at;
	size_t n, size;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->at + t->n, t->size - t->n, format, ap);
	va_end(ap);
	t->n = n > 0 && t->n + (size_t)n < t->size ? t->n + (size_t)n : t->size - 1;
}

/* "name/tid" without the number. */
static int name_length(const char *thread)
{
	const char *slash = strrchr(thread, '/');

	return (int)(slash ? (size_t)(slash - thread) : strlen(thread));
}

static bool in_group(const struct snapshot *s, const struct group *g, const struct snap_tail *t)
{
	uint64_t ns;

	return !strcmp(t->name, g->first->name) && tail_cause_of(s, t, &ns) == g->cause &&
	       (g->cause != TAIL_BLOCKED || same_kind(g->first, t));
}

static const char *holder_of(const struct snap_tail *t)
{
	const char *held = strstr(t->what, " held by ");

	return held ? held + strlen(" held by ") : "";
}

static const char *waker_of(const struct snap_tail *t)
{
	return t->waker;
}

/* The thread that most calls of the group name, by `of`; NULL when it is not the half of them. */
static const char *common(const struct snapshot *s, const struct group *g,
			  const char *(*of)(const struct snap_tail *))
{
	const char *best = NULL;
	uint32_t most = 0;

	for (uint32_t i = 0; i < s->ntails; i++) {
		const char *name = of(&s->tails[i]);
		int len = name_length(name);
		uint32_t n = 0;

		if (!len || !in_group(s, g, &s->tails[i]))
			continue;
		for (uint32_t k = i; k < s->ntails; k++)
			n += in_group(s, g, &s->tails[k]) && name_length(of(&s->tails[k])) == len &&
			     !strncmp(of(&s->tails[k]), name, (size_t)len);
		if (n > most) {
			most = n;
			best = name;
		}
	}
	return most * 2 >= g->n ? best : NULL;
}

static void add_blocked(const struct snapshot *s, const struct group *g, struct text *t)
{
	static const char *const doing[BLOCKED_REASONS] = {
		[BLOCKED_FUTEX] = "blocked on",
		[BLOCKED_IO] = "waiting for I/O in",
		[BLOCKED_PAGE_FAULT] = "waiting in",
		[BLOCKED_SLEEP] = "asleep in",
		[BLOCKED_NET] = "waiting in",
		[BLOCKED_OTHER] = "waiting in",
		[BLOCKED_RUNQ] = "blocked, and waiting for a CPU longest",
		[BLOCKED_AIO] = "waiting for asynchronous I/O in",
	};
	const char *holder = common(s, g, holder_of), *waker = common(s, g, waker_of);
	uint32_t reason = g->first->reason < BLOCKED_REASONS ? g->first->reason : BLOCKED_OTHER;
	int n = (int)kind_length(g->first->what);

	add(t, "%s", doing[reason]);
	if (n || reason != BLOCKED_RUNQ)
		add(t, " %.*s", n ? n : 12, n ? g->first->what : "an unknown call");
	if (holder)
		add(t, " (held by %.*s)", name_length(holder), holder);
	else if (waker && reason != BLOCKED_SLEEP && strcmp(waker, "interrupt") != 0)
		add(t, " (woken by %.*s)", name_length(waker), waker);
}

static void add_group(const struct snapshot *s, const struct group *g, struct text *t)
{
	char each[FORMAT_SIZE];

	switch (g->cause) {
	case TAIL_ON_CPU:
		add(t, "on the CPU themselves");
		break;
	case TAIL_FAULTS:
		add(t, "in page faults, %s a call",
		    format_count(each, (double)g->minflt / (double)g->n));
		break;
	case TAIL_QUEUED:
		add(t, "waiting for a CPU that others had");
		break;
	case TAIL_BLOCKED:
		add_blocked(s, g, t);
		break;
	}
}

static double share(const struct group *g)
{
	double pct = g->all_ns ? 100.0 * (double)g->ns / (double)g->all_ns : 0;

	return pct > 100 ? 100 : pct;
}

bool tail_summarize(const struct snapshot *s, const char *name, struct tail_summary *out)
{
	struct groups all = {.n = 0};
	const struct group *most, *second;
	struct text t;
	uint64_t all_ns = 0;

	memset(out, 0, sizeof(*out));
	t = (struct text){.at = out->text, .size = sizeof(out->text)};
	for (uint32_t i = 0; i < s->ntails && i < SNAP_TAILS; i++)
		if (!strcmp(s->tails[i].name, name))
			add_call(s, &s->tails[i], &all);
	for (uint32_t i = 0; i < all.n; i++)
		all_ns += all.g[i].all_ns;
	most = heaviest(&all, NULL);
	if (!most)
		return false;
	out->calls = all.calls;
	out->same = most->n;
	out->cause = most->cause;
	out->reason = most->first->reason;
	out->pct = share(most);
	add(&t, "%u of %u slow call%s: ", most->n, all.calls, all.calls == 1 ? "" : "s");
	add_group(s, most, &t);
	add(&t, most->cause == TAIL_FAULTS ? ", ~%.0f %% of their time" : ", %.0f %% of their time",
	    out->pct);
	if (most->n * 2 < all.calls)
		add(&t, " and %.0f %% of all slow calls'",
		    100.0 * (double)most->all_ns / (double)all_ns);
	second = heaviest(&all, most);
	if (second && (second->n * 5 >= all.calls || second->all_ns * 5 >= all_ns)) {
		add(&t, "; %u ", second->n);
		add_group(s, second, &t);
		add(&t, ", %.0f %%", share(second));
	}
	return true;
}
