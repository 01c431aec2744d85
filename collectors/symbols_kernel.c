/* SPDX-License-Identifier: Apache-2.0 */
/* symbols_kernel.c: functions of the running kernel, from /proc/kallsyms. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/symbols_priv.h"

enum { KALLSYMS_BUFFER_BYTES = 65536 };

void kernel_symbols_fini(struct kernel_symbols *k)
{
	free(k->v);
	free(k->names);
	memset(k, 0, sizeof(*k));
}

static bool kernel_reserve(struct kernel_symbols *k, size_t name_bytes)
{
	void *p;

	if (k->n == k->cap) {
		uint32_t cap = k->cap ? k->cap * 2 : 65536;

		p = realloc(k->v, cap * sizeof(*k->v));
		if (!p)
			return false;
		k->v = p;
		k->cap = cap;
	}
	if (k->names_cap - k->names_bytes < name_bytes) {
		uint32_t cap = k->names_cap ? k->names_cap * 2 : 1u << 20;

		p = realloc(k->names, cap);
		if (!p)
			return false;
		k->names = p;
		k->names_cap = cap;
	}
	return true;
}

/* "ADDRESS TYPE name" and, for a module's, a tab and "[module]". */
static void kernel_add_line(struct kernel_symbols *k, const char *line)
{
	char *p, *tab;
	uint64_t addr = strtoull(line, &p, 16);
	size_t n;

	/* Functions only: text, and weak. Per-CPU data of old kernels lies low. */
	if (p == line || p[0] != ' ' || !strchr("tTwW", p[1]) || p[2] != ' ' || addr < 1ull << 63)
		return;
	p += 3;
	/* The padding before a function, which has a symbol on kernels built for FineIBT. */
	if (!strncmp(p, "__pfx_", 6))
		return;
	n = strlen(p) + 1;
	if (n < 2 || n > 1024 || !kernel_reserve(k, n))
		return;
	memcpy(k->names + k->names_bytes, p, n);
	tab = strchr(k->names + k->names_bytes, '\t');
	if (tab && tab[1] != '[')
		*tab = ' ';
	k->v[k->n].addr = addr;
	k->v[k->n++].name = k->names_bytes;
	k->names_bytes += (uint32_t)n;
}

static int kernel_compare(const void *x, const void *y)
{
	const struct kernel_entry *a = x, *b = y;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return a->name < b->name ? -1 : a->name > b->name;
}

static void kernel_read(struct kernel_symbols *k, int fd, char *buf)
{
	size_t have = 0;

	for (;;) {
		ssize_t r = read(fd, buf + have, KALLSYMS_BUFFER_BYTES - have);
		char *line = buf, *end;

		if (r <= 0)
			return;
		have += (size_t)r;
		while ((end = memchr(line, '\n', (size_t)(buf + have - line)))) {
			*end = '\0';
			kernel_add_line(k, line);
			line = end + 1;
		}
		have -= (size_t)(line - buf);
		if (have == KALLSYMS_BUFFER_BYTES)
			return;
		memmove(buf, line, have);
	}
}

static void kernel_load(struct kernel_symbols *k)
{
	int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	char *buf = malloc(KALLSYMS_BUFFER_BYTES);
	void *p;

	if (fd >= 0 && buf)
		kernel_read(k, fd, buf);
	if (fd >= 0)
		close(fd);
	free(buf);
	if (!k->n)
		return;
	qsort(k->v, k->n, sizeof(*k->v), kernel_compare);
	p = realloc(k->v, k->n * sizeof(*k->v));
	if (p)
		k->v = p;
	p = realloc(k->names, k->names_bytes);
	if (p)
		k->names = p;
}

bool symbols_ends_irq_off(const char *name)
{
	/* Beginnings: compilers add to them. The rest are those of paravirtualised kernels. */
	static const char *const begin[] = {
		"_raw_spin_unlock_irq",	  "_raw_read_unlock_irq",
		"_raw_write_unlock_irq",  "__raw_spin_unlock_irq",
		"raw_spin_rq_unlock_irq", "finish_task_switch",
		"native_irq_enable",	  "pv_native_irq_enable",
		"pvm_irq_enable",	  "__raw_callee_save_pvm_irq_enable",
		"xen_irq_enable",	  "xen_restore_fl",
	};

	for (size_t i = 0; i < sizeof(begin) / sizeof(begin[0]); i++)
		if (!strncmp(name, begin[i], strlen(begin[i])))
			return true;
	return false;
}

bool kernel_symbols_find(struct kernel_symbols *k, uint64_t addr, uint64_t *start, char *name,
			 size_t name_size, char *module, size_t module_size)
{
	uint32_t lo = 0, hi;
	const char *s, *tab;

	if (!k->loaded)
		kernel_load(k);
	k->loaded = true;
	hi = k->n;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (k->v[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return false;
	*start = k->v[lo - 1].addr;
	/* Of aliases the first that kallsyms lists. */
	while (lo > 1 && k->v[lo - 2].addr == *start)
		lo--;
	s = k->names + k->v[lo - 1].name;
	tab = strchr(s, '\t');
	snprintf(name, name_size, "%.*s", tab ? (int)(tab - s) : (int)strlen(s), s);
	snprintf(module, module_size, "%s", tab ? tab + 1 : "[kernel]");
	return true;
}
