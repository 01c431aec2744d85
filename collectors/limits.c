/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c: what the control groups of a process allow it: CPU time and memory. */
#include "collectors/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/procfs.h"

enum {
	LEVELS = 8,	   /* groups one in another that limit the same thing */
	PATH_BYTES = 1024, /* of a group */
};
/* Over this long at least: a period is 100 ms, most often. */
#define WINDOW_NS 450000000ull
/* Version 1 says so for "none": the highest number of pages. */
#define NO_LIMIT (1ull << 60)

/* A group with a limit; what it has done since the last window. */
struct level {
	char dir[PATH_BYTES];
	double cpus;
	uint64_t bytes, used;
	uint64_t periods, throttled, hits; /* at the window's start */
	double share;			   /* of periods in which its time was used up; of hits/s */
};

/* Those of one resource, innermost first. */
struct tree {
	char mount[384];
	bool v2;
	struct level v[LEVELS];
	uint32_t n;
	uint64_t window_ns;
};

struct limits {
	char root[256];
	struct tree cpu, memory;
};

struct limits *limits_new(const char *root)
{
	struct limits *l = calloc(1, sizeof(*l));

	if (l)
		snprintf(l->root, sizeof(l->root), "%s", root);
	return l;
}

void limits_free(struct limits *l)
{
	free(l);
}

/* ---- files ---------------------------------------------------------------------------------- */

static bool read_text(const char *dir, const char *name, char *buf, size_t size)
{
	char path[PATH_BYTES + 32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = procfs_pread(fd, buf, size);
	close(fd);
	return n > 0;
}

/* false: none, which is "max", -1 or the highest number there is. */
static bool read_number(const char *dir, const char *name, uint64_t *out)
{
	char text[64];

	if (!read_text(dir, name, text, sizeof(text)) || text[0] < '0' || text[0] > '9')
		return false;
	*out = strtoull(text, NULL, 10);
	return true;
}

static bool cpu_limit(const struct tree *t, struct level *v)
{
	uint64_t quota, period;
	char text[64], *end;

	if (t->v2) {
		if (!read_text(v->dir, "cpu.max", text, sizeof(text)) || text[0] == 'm')
			return false;
		quota = strtoull(text, &end, 10);
		period = strtoull(end, NULL, 10);
	} else if (!read_number(v->dir, "cpu.cfs_quota_us", &quota) ||
		   !read_number(v->dir, "cpu.cfs_period_us", &period)) {
		return false;
	}
	if (!quota || !period)
		return false;
	v->cpus = (double)quota / (double)period;
	return true;
}

static bool memory_limit(const struct tree *t, struct level *v)
{
	uint64_t high;

	v->bytes = NO_LIMIT;
	if (t->v2) {
		read_number(v->dir, "memory.max", &v->bytes);
		/* Above it the kernel slows the group down to take memory back. */
		if (read_number(v->dir, "memory.high", &high) && high < v->bytes)
			v->bytes = high;
	} else {
		read_number(v->dir, "memory.limit_in_bytes", &v->bytes);
	}
	return v->bytes < NO_LIMIT;
}

/* ---- finding the groups --------------------------------------------------------------------- */

/* Is name one of the controllers, "cpu,cpuacct"? */
static bool lists(const char *controllers, size_t len, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = controllers; p < controllers + len; p += strcspn(p, ",:") + 1)
		if (!strncmp(p, name, n) && (p[n] == ',' || p[n] == ':'))
			return true;
	return false;
}

static bool is_group(const char *dir)
{
	char path[PATH_BYTES + 32];

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	return !access(path, F_OK);
}

/*
 * The line "ID:CONTROLLERS:PATH" that has the controller, of version 1 before that of version 2,
 * which has none: a controller is in one of them. Sets the mount, returns the path; NULL: none.
 */
static const char *find_line(const struct limits *l, const char *groups, const char *controller,
			     struct tree *t)
{
	const char *v2 = NULL, *path = NULL;

	for (const char *line = groups; line && *line; line = strchr(line, '\n')) {
		const char *list;
		size_t len;

		line += *line == '\n';
		list = strchr(line, ':');
		if (!list)
			break;
		len = strcspn(++list, ":\n");
		if (list[len] != ':')
			continue;
		if (!len)
			v2 = list + 1;
		if (!lists(list, len, controller))
			continue;
		path = list + len + 1;
		snprintf(t->mount, sizeof(t->mount), "%s/%.*s", l->root, (int)len, list);
		if (!is_group(t->mount))
			snprintf(t->mount, sizeof(t->mount), "%s/%s", l->root, controller);
	}
	t->v2 = !path;
	if (path || !v2)
		return path;
	snprintf(t->mount, sizeof(t->mount), "%s", l->root);
	if (!is_group(t->mount))
		snprintf(t->mount, sizeof(t->mount), "%s/unified", l->root);
	return v2;
}

/* The group of that path and those around it, as far as they are to be seen and have a limit. */
static void look(const struct limits *l, const char *groups, const char *controller, struct tree *t,
		 bool (*limit)(const struct tree *, struct level *))
{
	struct tree before = *t;
	char dir[PATH_BYTES];
	const char *path;

	t->n = 0;
	path = find_line(l, groups, controller, t);
	if (!path)
		return;
	for (size_t len = strcspn(path, "\n"); t->n < LEVELS;) {
		struct level *v = &t->v[t->n];

		while (len && path[len - 1] == '/')
			len--;
		if ((size_t)snprintf(dir, sizeof(dir), "%s%.*s", t->mount, (int)len, path) >=
		    sizeof(dir))
			break;
		*v = (struct level){0};
		memcpy(v->dir, dir, sizeof(dir));
		for (uint32_t i = 0; i < before.n; i++)
			if (!strcmp(before.v[i].dir, dir))
				*v = before.v[i];
		t->n += limit(t, v);
		if (!len)
			break;
		while (len && path[len - 1] != '/')
			len--;
	}
}

/* ---- what they do --------------------------------------------------------------------------- */

static void read_cpu(struct level *v, bool close_window)
{
	uint64_t periods, throttled;
	char text[512];

	if (!close_window || !read_text(v->dir, "cpu.stat", text, sizeof(text)))
		return;
	periods = procfs_field(text, "nr_periods", 0);
	throttled = procfs_field(text, "nr_throttled", 0);
	v->share = v->periods && periods > v->periods && throttled > v->throttled
			   ? (double)(throttled - v->throttled) / (double)(periods - v->periods)
			   : 0;
	v->periods = periods;
	v->throttled = throttled;
}

static void read_memory(const struct tree *t, struct level *v, uint64_t window_ns)
{
	uint64_t hits = 0;
	char text[512];

	if (!read_number(v->dir, t->v2 ? "memory.current" : "memory.usage_in_bytes", &v->used))
		v->used = 0;
	if (!window_ns)
		return;
	if (!t->v2)
		read_number(v->dir, "memory.failcnt", &hits);
	else if (read_text(v->dir, "memory.events", text, sizeof(text)))
		hits = procfs_field(text, "max", 0) + procfs_field(text, "high", 0);
	v->share =
		v->hits && hits > v->hits ? (double)(hits - v->hits) * 1e9 / (double)window_ns : 0;
	v->hits = hits ? hits : 1; /* 0: not read yet */
}

/* Ns since the last window, if it is over; else 0. */
static uint64_t end_window(struct tree *t, uint64_t now_ns)
{
	uint64_t ns = now_ns - t->window_ns;

	if (t->window_ns && ns < WINDOW_NS)
		return 0;
	t->window_ns = now_ns;
	return ns;
}

static const char *group_name(const struct tree *t, const struct level *v)
{
	const char *name = v->dir + strlen(t->mount);

	return name[0] ? name : "/";
}

static void fill_cpu(struct limits *l, uint64_t now_ns, struct snap_proc *out)
{
	const struct level *most = NULL;
	uint64_t ns = l->cpu.n ? end_window(&l->cpu, now_ns) : 0;

	for (uint32_t i = 0; i < l->cpu.n; i++) {
		struct level *v = &l->cpu.v[i];

		read_cpu(v, ns > 0);
		if (!most || v->share > most->share ||
		    (v->share == most->share && v->cpus < most->cpus))
			most = v;
	}
	if (!most)
		return;
	out->quota_cpus = most->cpus;
	out->throttled_pct = 100 * most->share;
	snapshot_string(out->quota_group, sizeof(out->quota_group), group_name(&l->cpu, most));
}

static void fill_memory(struct limits *l, uint64_t now_ns, struct snap_proc *out)
{
	const struct level *most = NULL;
	uint64_t ns = l->memory.n ? end_window(&l->memory, now_ns) : 0;

	for (uint32_t i = 0; i < l->memory.n; i++) {
		struct level *v = &l->memory.v[i];

		read_memory(&l->memory, v, ns);
		if (!most ||
		    (double)v->used / (double)v->bytes > (double)most->used / (double)most->bytes)
			most = v;
	}
	if (!most)
		return;
	out->memory_limit_bytes = most->bytes;
	out->memory_group_bytes = most->used;
	out->memory_limit_rate = most->share;
	snapshot_string(out->memory_group, sizeof(out->memory_group), group_name(&l->memory, most));
}

void limits_find(struct limits *l, const char *groups)
{
	look(l, groups, "cpu", &l->cpu, cpu_limit);
	look(l, groups, "memory", &l->memory, memory_limit);
}

void limits_read(struct limits *l, uint64_t now_ns, struct snap_proc *out)
{
	fill_cpu(l, now_ns, out);
	fill_memory(l, now_ns, out);
}
