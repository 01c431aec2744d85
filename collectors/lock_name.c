/* SPDX-License-Identifier: Apache-2.0 */
/* lock_name.c: what lies at an address of the target's data. */
#include "collectors/lock_name.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "collectors/demangle.h"
#include "collectors/maps.h"
#include "collectors/name_words.h"
#include "collectors/snapshot.h"
#include "collectors/threads.h"

/* The mapping that holds addr. */
struct place {
	uint64_t addr, start, end;
	bool found;
	char path[128];
};

static void look(void *ctx, const struct maps_line *line)
{
	struct place *p = ctx;

	if (p->addr < line->start || p->addr >= line->end)
		return;
	p->found = true;
	p->start = line->start;
	p->end = line->end;
	snapshot_string(p->path, sizeof(p->path), line->path);
}

static bool name_variable(struct symbols *syms, uint64_t addr, char *out, size_t size)
{
	uint32_t n = 0;
	const struct symbols_module *m = symbols_modules(syms, &n);

	for (uint32_t i = 0; i < n; i++) {
		char raw[512], name[512];
		uint64_t offset = 0;

		if (!m[i].image ||
		    elf_image_object(m[i].image, addr - m[i].bias, raw, sizeof(raw), &offset))
			continue;
		demangle_name(raw, name, sizeof(name));
		if (offset)
			snprintf(name + strlen(name), sizeof(name) - strlen(name), "+%llu",
				 (unsigned long long)offset);
		snapshot_string(out, size, name);
		return true;
	}
	return false;
}

static bool name_stack(const struct place *p, const struct threads *t, char *out, size_t size)
{
	for (uint32_t i = 0; i < t->n; i++) {
		const struct contract_thread *row = &t->now[i];
		char comm[16];

		if (row->sp < p->start || row->sp >= p->end)
			continue;
		snapshot_string(comm, sizeof(comm), row->comm);
		snprintf(out, size, "stack of %s/%u", comm, row->tid);
		return true;
	}
	return false;
}

void lock_name_find(struct symbols *syms, pid_t pid, const struct threads *t, uint64_t addr,
		    char *out, size_t size)
{
	struct place p = {.addr = addr};

	out[0] = '\0';
	if (syms && name_variable(syms, addr, out, size))
		return;
	if (maps_read(pid, look, &p) || !p.found)
		return;
	if (!p.path[0]) {
		if (!name_stack(&p, t, out, size))
			snprintf(out, size, "heap");
	} else if (!strcmp(p.path, "[heap]")) {
		snprintf(out, size, "heap");
	} else if (!strcmp(p.path, "[stack]")) {
		snprintf(out, size, "stack of the first thread");
	} else if (!strncmp(p.path, "/dev/zero", 9) || !strncmp(p.path, "/SYSV", 5) ||
		   !strncmp(p.path, "/memfd:", 7)) {
		snprintf(out, size, "shared memory");
	} else if (!strncmp(p.path, "/dev/shm/", 9)) {
		snprintf(out, size, "shared %.100s", p.path);
	} else {
		snprintf(out, size, "data of %.100s", name_of_path(p.path));
	}
}

void lock_name_plain(const struct snap_lock *l, char *out, size_t size)
{
	out[0] = '\0';
	if (l->name[0] && strcmp(l->name, "heap") != 0)
		snprintf(out, size, "%s", l->name);
	else if (l->addr)
		snprintf(out, size, "0x%llx", (unsigned long long)l->addr);
}

void lock_name_words(const struct snap_lock *l, char *out, size_t size)
{
	char plain[SNAP_NAME];

	lock_name_plain(l, plain, sizeof(plain));
	snprintf(out, size, "%s%s%.100s", l->kind[0] ? l->kind : "mutex", plain[0] ? " " : "",
		 plain);
}

void lock_name_site(const char *site, const char *via, char *out, size_t size)
{
	if (site[0] && via[0])
		snprintf(out, size, "%.80s via %.40s", site, via);
	else
		snprintf(out, size, "%.120s", site[0] ? site : via);
}
