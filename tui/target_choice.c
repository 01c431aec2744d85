/* SPDX-License-Identifier: Apache-2.0 */
/* target_choice.c: from a name, a control group or a container to the processes to watch. */
#include "tui/target_choice.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collectors/procfs.h"
#include "collectors/target_set.h"
#include "tui/find_process.h"

/* Its parent among them; -1: it is the first of a family, or alone. */
static int parent_of(const struct found_process *found, int n, int i)
{
	for (int j = 0; j < n; j++)
		if (j != i && found[j].pid == found[i].parent)
			return j;
	return -1;
}

/* Is every one of them but one a child, or a child's child, of another? */
static bool is_family(const struct found_process *found, int n)
{
	int heads = 0;

	for (int i = 0; i < n; i++)
		heads += parent_of(found, n, i) < 0;
	return heads == 1;
}

/* How many of them descend from found[head]. */
static int count_offspring(const struct found_process *found, int n, int head)
{
	int count = 0;

	for (int i = 0; i < n; i++) {
		int at = i;

		/* Pids may have been used anew while they were read: a circle ends too. */
		for (int steps = 0; at >= 0 && at != head && steps < n; steps++)
			at = parent_of(found, n, at);
		count += i != head && at == head;
	}
	return count;
}

/* One line for each family: its first process stands for those it started. */
static int say_which(const struct options *o, const struct found_process *found, int n, char *why,
		     size_t size)
{
	int known = n < FIND_PROCESS_MAX ? n : FIND_PROCESS_MAX;
	size_t at = (size_t)snprintf(why, size,
				     "%d processes are called '%.60s'; choose one with -p PID, "
				     "with --follow-forks for its children too, or watch them "
				     "together with -n '%.60s*':",
				     n, o->name, o->name);

	for (int i = 0; i < known && at < size; i++) {
		int children;

		if (parent_of(found, known, i) >= 0)
			continue;
		children = count_offspring(found, known, i);
		at += (size_t)snprintf(why + at, size - at, "\n  %7d  %s", found[i].pid,
				       found[i].command);
		if (children && at < size)
			at += (size_t)snprintf(why + at, size - at, "  (and %d child%s)", children,
					       children == 1 ? "" : "ren");
	}
	return -EEXIST;
}

/* The eldest of a family comes first: what is found of the program is found of it. */
static void put_first(struct options *o, uint32_t first)
{
	o->session.pid = o->pids[first];
	o->pids[first] = o->pids[0];
	o->pids[0] = o->session.pid;
	o->session.pids = o->pids;
	o->session.npids = o->npids;
}

static uint32_t eldest(const struct options *o)
{
	uint64_t least = UINT64_MAX;
	uint32_t best = 0;

	for (uint32_t i = 0; i < o->npids; i++) {
		struct procfs_stat st;

		if (!procfs_stat(o->pids[i], &st) && st.starttime < least) {
			least = st.starttime;
			best = i;
		}
	}
	return best;
}

static int by_name(struct options *o, char *why, size_t size)
{
	struct found_process found[FIND_PROCESS_MAX];
	int n = find_process(o->name, found);

	if (n < 0) {
		snprintf(why, size, "cannot read /proc: %s", strerror(-n));
		return n;
	}
	if (!n) {
		snprintf(why, size,
			 "no process is called '%.100s'; list them with: ps -e -o pid,comm,args",
			 o->name);
		return -ESRCH;
	}
	if (n > 1 && !strpbrk(o->name, "*?[") && !(n <= FIND_PROCESS_MAX && is_family(found, n)))
		return say_which(o, found, n, why, size);
	for (int i = 0; i < n && i < FIND_PROCESS_MAX; i++)
		o->pids[o->npids++] = found[i].pid;
	put_first(o, eldest(o));
	return 0;
}

static int by_cgroup(struct options *o, char *why, size_t size)
{
	int err = 0;

	if (o->container) {
		err = target_set_find_container(o->container, o->cgroup_path,
						sizeof(o->cgroup_path), why, size);
		o->cgroup = o->cgroup_path;
	}
	if (!err)
		err = target_set_open_cgroup(o->cgroup, o->cgroup_path, sizeof(o->cgroup_path),
					     o->pids, &o->npids, OPTIONS_MAX_PIDS, why, size);
	if (err)
		return err;
	if (!o->npids) {
		snprintf(why, size, "no process is in %.160s; start one, or name another group",
			 o->cgroup_path);
		return -ESRCH;
	}
	put_first(o, eldest(o));
	o->session.cgroup = o->cgroup_path;
	return 0;
}

/* Of one alone the session tells. */
static int all_there(const struct options *o, char *why, size_t size)
{
	for (uint32_t i = 0; o->npids > 1 && i < o->npids; i++) {
		struct procfs_stat st;
		int err = procfs_stat(o->pids[i], &st);

		if (err != -ENOENT && err != -ESRCH)
			continue;
		snprintf(why, size, "no process %d; list them with: ps -e", o->pids[i]);
		return -ESRCH;
	}
	return 0;
}

int target_choice_resolve(struct options *o, char *why, size_t why_size)
{
	if (o->name)
		return by_name(o, why, why_size);
	if (o->cgroup || o->container)
		return by_cgroup(o, why, why_size);
	o->session.pids = o->pids;
	o->session.npids = o->npids;
	return all_there(o, why, why_size);
}
