/* SPDX-License-Identifier: Apache-2.0 */
/* probe_late.c: libraries that the target loads after perftop came, and unloads again. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collectors/probe_plan_priv.h"

enum { LATE_MAX_MODULES = 512 };

/*
 * Which of the plan's files are mapped, and where; so which rows are gone. A file is looked for in
 * the process that it was last seen in.
 */
static void mark_files(struct probe_plan *p, struct symbols *syms, pid_t pid)
{
	uint32_t nmods;
	const struct symbols_module *mods = symbols_modules(syms, &nmods);

	for (uint32_t f = 0; f < p->nfiles; f++)
		p->files[f].mapped &= p->files[f].pid != pid;
	for (uint32_t m = 0; m < nmods; m++) {
		uint64_t dev, inode;

		if (!mods[m].image || mods[m].path[0] != '/' ||
		    plan_identify(&mods[m], &dev, &inode))
			continue;
		for (uint32_t f = 0; f < p->nfiles; f++) {
			struct probe_file *file = &p->files[f];

			if (file->inode != inode || file->dev != dev ||
			    (file->mapped && file->pid != pid))
				continue;
			file->mapped = true;
			file->pid = pid;
			file->start = mods[m].start;
			file->end = mods[m].end;
		}
	}
	for (uint32_t i = 0; i < p->nrows; i++)
		p->rows[i].gone = true;
	for (uint32_t i = 0; i < p->nsites; i++)
		if (p->files[p->sites[i].file].mapped)
			p->rows[p->sites[i].row].gone = false;
}

static void say_nothing_found(struct plan_work *w, const struct symbols_module *const *mods,
			      uint32_t n)
{
	const char *file = strrchr(mods[0]->path, '/');
	char near[SNAP_NAME];

	plan_suggest(w, mods, n, near, sizeof(near));
	snprintf(w->why, w->why_size, "%.60s was loaded, and has no '%.60s'%s%s%s",
		 file ? file + 1 : mods[0]->path, w->spec->name.text,
		 near[0] ? "; did you mean '" : "", near, near[0] ? "'?" : "");
}

static void extend_spec(struct plan_work *w)
{
	const struct symbols_module *mods[LATE_MAX_MODULES];
	uint32_t n = plan_find_modules(w, mods, LATE_MAX_MODULES);
	bool *waits = &w->plan->waits[w->index];

	if (!n)
		return;
	w->first_row = w->plan->nrows;
	if (plan_match_new(w, mods, n))
		return;
	if (w->over)
		snprintf(w->why, w->why_size,
			 "%u functions of libraries that came later found no room: name fewer",
			 w->over);
	else if (*waits && !w->matched && !w->spec->any)
		say_nothing_found(w, mods, n);
	*waits = *waits && !w->matched && w->spec->any;
}

uint32_t probe_plan_extend(struct probe_plan *p, struct symbols *syms, char *why, size_t why_size)
{
	uint32_t before = p->nsites;
	pid_t pid = p->opt.pid ? symbols_pid(syms) : 0;

	why[0] = '\0';
	for (uint32_t i = 0; i < p->nspecs; i++) {
		struct plan_work w = {.plan = p,
				      .spec = &p->specs[i],
				      .index = i,
				      .syms = syms,
				      .pid = pid,
				      .why = why,
				      .why_size = why_size};

		extend_spec(&w);
	}
	mark_files(p, syms, pid);
	return before;
}

uint32_t probe_plan_waiting(const struct probe_plan *p, char *names, size_t size)
{
	uint32_t n = 0;
	size_t at = 0;

	names[0] = '\0';
	for (uint32_t i = 0; i < p->nspecs; i++) {
		const char *name = p->specs[i].any ? p->specs[i].name.text : p->specs[i].module;

		if (!p->waits[i])
			continue;
		if (n++ < 3 && at + strlen(name) + 3 < size)
			at += (size_t)snprintf(names + at, size - at, "%s%s", at ? ", " : "", name);
	}
	return n;
}
