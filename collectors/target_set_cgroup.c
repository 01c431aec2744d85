/* SPDX-License-Identifier: Apache-2.0 */
/* target_set_cgroup.c: control groups and the containers that they are made for. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/target_set.h"

static const char root[] = "/sys/fs/cgroup";

enum {
	CGROUP_DEPTH = 16,
	CGROUP_ID_MIN = 4, /* of a container's ID, so as not to match by accident */
};

static bool is_directory(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* Does the name of a control group stand for the container, as docker-ID.scope, ID, libpod-ID …? */
static bool names_container(const char *name, const char *id)
{
	size_t n = strlen(id);

	for (const char *p = strstr(name, id); p; p = strstr(p + 1, id)) {
		bool starts = p == name || p[-1] == '-' || p[-1] == ':' || p[-1] == '_';

		if (starts && (!p[n] || p[n] == '.' || strspn(p, "0123456789abcdef") > n))
			return true;
	}
	return false;
}

/* Every directory below path to fn, until that returns true. */
struct walk {
	bool (*fn)(struct walk *w, const char *path, const char *name);
	const char *id;
	char *found;
	size_t found_size;
	uint32_t matches;
	pid_t *pids;
	uint32_t n, max;
};

static void walk(struct walk *w, const char *path, uint32_t depth)
{
	struct dirent *e;
	char sub[1024];
	DIR *dir = depth < CGROUP_DEPTH ? opendir(path) : NULL;

	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
			continue;
		if ((size_t)snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name) >= sizeof(sub) ||
		    (e->d_type == DT_UNKNOWN && !is_directory(sub)))
			continue;
		if (!w->fn(w, sub, e->d_name))
			walk(w, sub, depth + 1);
	}
	if (dir)
		closedir(dir);
}

static bool match(struct walk *w, const char *path, const char *name)
{
	const char *first = strrchr(w->found, '/');

	if (!names_container(name, w->id))
		return false;
	/* Version 1 has a tree for each controller: the same name there is the same container. */
	if (!w->matches) {
		snprintf(w->found, w->found_size, "%s", path);
		w->matches = 1;
	} else if (!first || strcmp(first + 1, name) != 0) {
		w->matches++;
	}
	return true; /* what is below belongs to it */
}

int target_set_find_container(const char *id, char *path, size_t size, char *why, size_t why_size)
{
	struct walk w = {.fn = match, .id = id, .found = path, .found_size = size};

	if (strlen(id) < CGROUP_ID_MIN || strchr(id, '/')) {
		snprintf(why, why_size,
			 "--container %.60s: give the ID, or at least its first %d characters; of "
			 "a name: docker inspect -f '{{.Id}}' %.60s",
			 id, CGROUP_ID_MIN, id);
		return -EINVAL;
	}
	walk(&w, root, 0);
	if (w.matches == 1)
		return 0;
	snprintf(why, why_size,
		 w.matches ? "--container %.60s: more than one has an ID that begins so; give more "
			     "of it"
			   : "--container %.60s: no control group below /sys/fs/cgroup is named by "
			     "it; list IDs with: docker ps, podman ps or crictl ps, or give "
			     "--cgroup PATH",
		 id);
	return -ENOENT;
}

/* Threads of one control group's processes; cgroup.procs of version 1 is called the same. */
static void read_procs(struct walk *w, const char *path)
{
	char file[1100], line[32];
	FILE *f;

	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	f = fopen(file, "re");
	while (f && fgets(line, sizeof(line), f)) {
		long pid = strtol(line, NULL, 10);

		/* 0: in a pid namespace that this one does not see. */
		if (pid <= 0)
			continue;
		if (w->n < w->max)
			w->pids[w->n] = (pid_t)pid;
		w->n++;
	}
	if (f)
		fclose(f);
}

static bool read_sub(struct walk *w, const char *path, const char *name)
{
	read_procs(w, path);
	return false;
}

int target_set_open_cgroup(const char *given, char *path, size_t size, pid_t *pids, uint32_t *n,
			   uint32_t max, char *why, size_t why_size)
{
	struct walk w = {.fn = read_sub, .pids = pids, .max = max};
	static const char *const trees[] = {"",	     "/unified", "/systemd", "/memory",
					    "/pids", "/cpu",	 NULL};
	const char *slash = given[0] == '/' ? "" : "/";
	char name[SNAP_TEXT];

	*n = 0;
	snprintf(name, sizeof(name), "%s", given); /* it may be in path */
	given = name;
	snprintf(path, size, "%s", given);
	/* Version 1 has one tree a controller. */
	if (strncmp(given, root, strlen(root)) || !is_directory(given))
		for (int i = 0; trees[i]; i++) {
			snprintf(path, size, "%s%s%s%s", root, trees[i], slash, given);
			if (is_directory(path))
				break;
		}
	if (!is_directory(path)) {
		snprintf(why, why_size,
			 "--cgroup %.100s: no such control group; list them with: systemd-cgls, "
			 "or find /sys/fs/cgroup -type d",
			 given);
		return -ENOENT;
	}
	read_procs(&w, path);
	walk(&w, path, 0);
	*n = w.n < max ? w.n : max;
	return 0;
}
