/* SPDX-License-Identifier: Apache-2.0 */
/* inject_hooks.c: hooking a library that is loaded into a process, and unhooking it. */
#include "collectors/inject_hooks.h"

#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/got_patch.h"

enum { MODULES_MAX = 8192 };

int inject_hooks_find(struct inject_hooks *h, const struct inject_modules *m, pid_t pid)
{
	struct inject_symbol y, first;
	int err;

	memset(h, 0, sizeof(*h));
	if (inject_modules_find(m, pid, INJECT_PORT_SYMBOL, &y))
		return -ENOENT;
	h->at = y.addr;
	h->module = y.module;
	err = inject_read(pid, h->at, &h->port, sizeof(h->port));
	if (err)
		return err;
	if (h->port.version != INJECT_PORT_VERSION || h->port.size != sizeof(h->port) ||
	    h->port.nhooks > INJECT_PORT_HOOKS)
		return -EPROTO;
	for (uint32_t i = 0; i < h->port.nhooks; i++)
		h->port.hooks[i].name[INJECT_PORT_NAME - 1] = '\0';
	if (!inject_modules_find(m, pid, "malloc", &first) && first.module == h->module)
		return -EALREADY;
	return 0;
}

static uint32_t rows_of(const struct inject_hooks *h, bool back, struct got_patch_row *rows)
{
	for (uint32_t i = 0; i < h->port.nhooks; i++) {
		const struct inject_hook *k = &h->port.hooks[i];
		uint64_t hook = (uintptr_t)k->hook, original = (uintptr_t)k->original;

		rows[i] = (struct got_patch_row){.name = k->name};
		if (!hook || !original)
			continue;
		rows[i].from = back ? hook : original;
		rows[i].to = back ? original : hook;
	}
	return h->port.nhooks;
}

static int set_active(const struct inject_hooks *h, pid_t pid, uint32_t active)
{
	return inject_write(pid, h->at + offsetof(struct inject_port, active), &active,
			    sizeof(active));
}

int inject_hooks_apply(struct inject_hooks *h, const struct inject_modules *m, pid_t pid,
		       struct inject_result *out)
{
	struct got_patch_row rows[INJECT_PORT_HOOKS];
	struct got_patch_count count = {0};
	int err = 0;

	for (uint32_t i = 0; i < h->port.nhooks && !err; i++) {
		struct inject_hook *k = &h->port.hooks[i];
		struct inject_symbol y;

		/* What was written there before stays: a hook may be in it. */
		if (k->original || inject_modules_find(m, pid, k->name, &y) ||
		    y.module == h->module)
			continue;
		k->original = (void *)(uintptr_t)y.addr;
		err = inject_write(pid,
				   h->at + offsetof(struct inject_port, hooks) + i * sizeof(*k) +
					   offsetof(struct inject_hook, original),
				   &k->original, sizeof(k->original));
	}
	if (!err)
		err = set_active(h, pid, 1);
	if (err)
		return err;
	err = got_patch_apply(m, pid, 0, m->v[h->module].map, rows, rows_of(h, false, rows), true,
			      &count);
	out->base = m->v[h->module].bias;
	out->port = h->at;
	out->slots = count.slots;
	out->modules = count.modules;
	out->foreign = count.foreign;
	return err;
}

/* ---- modules that come later ---------------------------------------------------------------- */

int inject_loader_seen(pid_t pid, uint64_t debug, uint64_t *seen)
{
	struct r_debug d;
	int err = inject_read(pid, debug, &d, sizeof(d));
	uint64_t map = (uintptr_t)d.r_map;

	if (err || d.r_state != RT_CONSISTENT)
		return err ? err : -EAGAIN;
	*seen = 1;
	for (int i = 0; map && i < MODULES_MAX; i++) {
		struct link_map l;

		err = inject_read(pid, map, &l, sizeof(l));
		if (err)
			return err;
		*seen = (*seen ^ map ^ l.l_addr) * 0x9e3779b97f4a7c15ull;
		map = (uintptr_t)l.l_next;
	}
	return 0;
}

int inject_follow(pid_t pid, struct inject_result *loaded, struct inject_follow *f)
{
	struct inject_result now = {0};
	struct inject_modules m;
	struct inject_hooks h;
	uint64_t seen = 0;
	int err;

	if (f->debug) {
		err = inject_loader_seen(pid, f->debug, &seen);
		if (err || seen == f->seen)
			return err == -EAGAIN ? 0 : err;
	}
	err = inject_modules_read(&m, pid);
	if (err)
		return err == -EAGAIN ? 0 : err;
	if (!f->debug)
		err = inject_loader_seen(pid, m.debug, &seen);
	if (!err)
		err = inject_hooks_find(&h, &m, pid);
	if (!err && h.at != loaded->port)
		err = -ESTALE; /* it ran another program since */
	if (!err)
		err = inject_hooks_apply(&h, &m, pid, &now);
	f->debug = m.debug;
	f->seen = seen;
	inject_modules_fini(&m);
	if (err)
		return err == -EAGAIN ? 0 : err;
	err = now.slots > loaded->slots ? (int)(now.slots - loaded->slots) : 0;
	loaded->slots = now.slots;
	loaded->modules = now.modules;
	return err;
}

bool inject_is_off(pid_t pid)
{
	struct inject_modules m;
	struct inject_hooks h;
	int err = inject_modules_read(&m, pid);

	if (!err)
		err = inject_hooks_find(&h, &m, pid);
	inject_modules_fini(&m);
	return !err && !h.port.active;
}

/* ---- out again ------------------------------------------------------------------------------ */

/* Resident bytes of the mappings of one file. */
static uint64_t resident_bytes(pid_t pid, uint64_t inside)
{
	char path[32], *line = NULL, file[4096] = "";
	uint64_t start, end, bytes = 0, kb;
	size_t cap = 0;
	bool ours = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	/* Twice: which file holds the address, then all of its mappings. */
	for (int pass = 0; pass < 2; pass++) {
		f = fopen(path, "re");
		while (f && getline(&line, &cap, f) > 0) {
			int at = 0;

			if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &at) == 2 &&
			    at) {
				ours = line[at] && !strcmp(line + at, file);
				if (!pass && inside >= start && inside < end)
					snprintf(file, sizeof(file), "%s", line + at);
			} else if (pass && ours && sscanf(line, "Rss: %lu kB", &kb) == 1) {
				bytes += kb * 1024;
			}
		}
		if (f)
			fclose(f);
	}
	free(line);
	return bytes;
}

int inject_unload(pid_t pid, struct inject_unloaded *out, char *why, size_t why_size)
{
	struct got_patch_row rows[INJECT_PORT_HOOKS];
	struct got_patch_count count = {0};
	struct inject_modules m;
	struct inject_hooks h;
	int err = -EAGAIN;

	memset(out, 0, sizeof(*out));
	why[0] = '\0';
	for (int i = 0; err == -EAGAIN && i < 100; i++)
		err = inject_modules_read(&m, pid);
	if (!err)
		err = inject_hooks_find(&h, &m, pid);
	if (!err) {
		err = got_patch_apply(&m, pid, 0, m.v[h.module].map, rows, rows_of(&h, true, rows),
				      false, &count);
		out->slots = count.written;
	}
	if (!err)
		err = set_active(&h, pid, 0);
	if (!err)
		out->kept_bytes = resident_bytes(pid, h.at);
	else if (err == -ENOENT)
		snprintf(why, why_size, "the library is not in it");
	else if (err == -EALREADY)
		snprintf(why, why_size, "it was preloaded, and stays until the program ends");
	else
		snprintf(why, why_size, "%s", strerror(-err));
	inject_modules_fini(&m);
	return err;
}
