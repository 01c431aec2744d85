/* SPDX-License-Identifier: Apache-2.0 */
/* func_late.c: probes go on libraries as the target loads them, and off with them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/func_priv.h"
#include "collectors/procfs.h"
#include "collectors/symbols.h"
#include "collectors/target_set.h"

/*
 * A library that is waited for is called as soon as it is loaded: between ticks it is looked
 * whether the address space has grown, which costs some 10 us; a look at the mappings costs more,
 * and is not repeated at once when it found nothing.
 */
enum { LATE_EVERY_NS = 10 * 1000 * 1000, LATE_REST = 5 };

static bool is_waiting(const struct func *f)
{
	char names[64];

	return probe_plan_waiting(f->plan, names, sizeof(names)) > 0;
}

static void arm(struct func *f, bool on)
{
	if (on == f->late_armed || f->late_fd < 0)
		return;
	session_timer_set(f->late_fd, on ? LATE_EVERY_NS : 0, LATE_EVERY_NS);
	f->late_armed = on;
}

/* Pages of the target's address space are other than they were. */
static bool has_grown(struct func *f, struct session *se)
{
	char text[128];
	uint64_t pages, was = f->late_pages;

	if (procfs_read(session_pid(se), "statm", text, sizeof(text)) <= 0)
		return false;
	pages = strtoull(text, NULL, 10);
	f->late_pages = pages;
	return pages != was;
}

static void on_timer(struct session *se, void *priv)
{
	struct func *f = priv;
	uint64_t known = f->generation;

	if (!session_timer_rang(f->late_fd))
		return;
	if (f->late_rest) {
		f->late_rest--;
		return;
	}
	if (!has_grown(f, se))
		return;
	func_late_look(f, se);
	if (f->generation == known)
		f->late_rest = LATE_REST;
}

int func_late_init(struct func *f, struct session *se)
{
	f->late_fd = session_timer_new(se, on_timer, f);
	if (f->late_fd < 0)
		return f->late_fd;
	arm(f, is_waiting(f));
	return 0;
}

void func_late_fini(struct func *f, struct session *se)
{
	session_timer_end(se, &f->late_fd);
}

/* What the plan names in files that a process maps since *known, its generation. */
static void extend(struct func *f, struct session *se, struct symbols *syms, uint64_t *known)
{
	char why[SNAP_TEXT];
	uint32_t from, before = f->nrows, sites;

	if (symbols_generation(syms) == *known)
		return;
	*known = symbols_generation(syms);
	from = probe_plan_extend(f->plan, syms, why, sizeof(why));
	f->nrows = probe_plan_rows(f->plan);
	probe_plan_sites(f->plan, &sites);
	func_rows_price(f, before);
	if (sites != from && func_way_sites(f, se, from, why, sizeof(why)))
		session_event(se, "%.200s", why);
	else if (sites != from)
		session_event(se, "%u more function%s probed, in what was loaded just now",
			      f->nrows - before, f->nrows - before == 1 ? "" : "s");
	if (why[0] && strcmp(why, f->late_trouble) != 0)
		session_event(se, "%.250s", why);
	snprintf(f->late_trouble, sizeof(f->late_trouble), "%s", why);
	func_say(se, f);
}

static void look(struct func *f, struct session *se)
{
	struct symbols *syms = session_symbols(se);

	if (!syms)
		return;
	/* Who loads late also unloads: see that soon, too. */
	f->watchful |= is_waiting(f);
	if (f->watchful) {
		symbols_expect(syms);
		symbols_refresh(syms);
	}
	extend(f, se, syms, &f->generation);
}

void func_late_look(struct func *f, struct session *se)
{
	look(f, se);
	arm(f, is_waiting(f));
}

void func_late_newcomers(struct func *f, struct session *se)
{
	struct target_set *t = session_target_set(se);
	char why[SNAP_TEXT];

	if (func_way_newcomers(f, why, sizeof(why)))
		session_event_again(se, "a process that came later",
				    "a process that came later "
				    "is not probed: %.180s",
				    why);
	for (uint32_t i = 0; !f->calls && i < t->n; i++) {
		struct symbols *syms = session_symbols_of(se, t->v[i].pid);

		if (syms)
			extend(f, se, syms, &t->v[i].planned);
	}
}
