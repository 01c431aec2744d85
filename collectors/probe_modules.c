/* SPDX-License-Identifier: Apache-2.0 */
/* probe_modules.c: which mapped file does the file part of a probe name? */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/probe_plan_priv.h"

static bool listed(const struct symbols_module *const *out, uint32_t n, const char *path)
{
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(out[i]->path, path))
			return true;
	return false;
}

static bool usable(const struct symbols_module *m)
{
	return m->path[0] == '/' && m->image;
}

static uint32_t collect(struct plan_work *w, const char *module, const struct symbols_module **out,
			uint32_t max)
{
	uint32_t nmods, n = 0;
	const struct symbols_module *mods = symbols_modules(w->syms, &nmods);
	int best = 1;

	for (uint32_t i = 0; i < nmods; i++) {
		int rank = usable(&mods[i]) ? probe_spec_module_rank(module, mods[i].path) : 0;

		if (usable(&mods[i]) && rank < 2 && !strcmp(module, mods[i].name))
			rank = 2;
		if (rank > best) {
			best = rank;
			n = 0;
		}
		if (rank == best && rank && n < max && !listed(out, n, mods[i].path))
			out[n++] = &mods[i];
	}
	return n;
}

/* The same file under another name: a link, a path relative to here, a mount in a container. */
static uint32_t collect_inode(struct plan_work *w, const char *path,
			      const struct symbols_module **out)
{
	uint32_t nmods;
	const struct symbols_module *mods = symbols_modules(w->syms, &nmods);
	char real[PATH_MAX], theirs[PATH_MAX + 64];
	struct stat a, b;

	if (!realpath(path, real))
		return 0;
	if (collect(w, real, out, 1))
		return 1;
	if (stat(real, &a))
		return 0;
	for (uint32_t i = 0; i < nmods; i++) {
		if (!usable(&mods[i]))
			continue;
		snprintf(theirs, sizeof(theirs), "/proc/%d/root%s", (int)w->pid, mods[i].path);
		if (stat(w->pid ? theirs : mods[i].path, &b))
			continue;
		if (a.st_dev == b.st_dev && a.st_ino == b.st_ino) {
			out[0] = &mods[i];
			return 1;
		}
	}
	return 0;
}

/* Debian's redis-server is a link to redis-check-rdb: look where the shell would. */
static uint32_t collect_path(struct plan_work *w, const char *name,
			     const struct symbols_module **out)
{
	const char *path = getenv("PATH");
	char full[PATH_MAX];

	while (path && *path) {
		size_t n = strcspn(path, ":");

		if ((size_t)snprintf(full, sizeof(full), "%.*s/%s", (int)n, path, name) <
			    sizeof(full) &&
		    collect_inode(w, full, out))
			return 1;
		path += n;
		path += *path == ':';
	}
	return 0;
}

/* The name that the target runs under: argv[0] or its comm. */
static bool is_target_name(pid_t pid, const char *name)
{
	char path[64], text[256] = "", *file;
	bool same = false;
	FILE *f;

	for (int i = 0; i < 2 && !same; i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, i ? "comm" : "cmdline");
		f = fopen(path, "re");
		if (!f)
			continue;
		text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
		fclose(f);
		text[strcspn(text, "\n ")] = '\0';
		file = strrchr(text, '/');
		same = !strcmp(file ? file + 1 : text, name);
	}
	return same;
}

static uint32_t collect_exe(struct plan_work *w, const char *name,
			    const struct symbols_module **out)
{
	char path[64], exe[PATH_MAX];
	ssize_t n;

	if (!w->pid || !is_target_name(w->pid, name))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)w->pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n <= 0)
		return 0;
	exe[n] = '\0';
	exe[strcspn(exe, " ")] = '\0'; /* " (deleted)" */
	return collect(w, exe, out, 1);
}

uint32_t plan_find_modules(struct plan_work *w, const struct symbols_module **out, uint32_t max)
{
	const char *module = w->spec->module;
	uint32_t n = collect(w, module, out, max);

	if (n || !module[0])
		return n;
	if (strchr(module, '/'))
		return collect_inode(w, module, out);
	n = collect_exe(w, module, out);
	return n ? n : collect_path(w, module, out);
}

void plan_list_modules(struct plan_work *w, char *buf, size_t size)
{
	uint32_t nmods;
	const struct symbols_module *mods = symbols_modules(w->syms, &nmods);
	const char *last = "";
	size_t at = 0;

	buf[0] = '\0';
	for (uint32_t i = 0; i < nmods; i++) {
		if (!usable(&mods[i]) || !strcmp(last, mods[i].path))
			continue;
		last = mods[i].path;
		if (at + strlen(mods[i].name) + 7 > size) {
			snprintf(buf + at, size - at, ", …");
			return;
		}
		at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? ", " : "", mods[i].name);
	}
}
