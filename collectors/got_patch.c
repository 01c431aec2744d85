/* SPDX-License-Identifier: Apache-2.0 */
/* got_patch.c: pointing the words that lead to a function, in all modules, somewhere else. */
#include "collectors/got_patch.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__aarch64__)
enum { R_SLOT = R_AARCH64_JUMP_SLOT, R_GOT = R_AARCH64_GLOB_DAT, R_WORD = R_AARCH64_ABS64 };
#else
enum { R_SLOT = R_X86_64_JUMP_SLOT, R_GOT = R_X86_64_GLOB_DAT, R_WORD = R_X86_64_64 };
#endif

/* A browser's library has some 500,000 relocations and 10 MB of names. */
#define TABLE_MAX_BYTES (64u << 20)

/* What one module is read into; grows, and is kept from module to module. */
struct scratch {
	void *relocs, *symbols, *names;
	size_t relocs_cap, symbols_cap, names_cap;
};

struct patching {
	const struct inject_module *m;
	pid_t pid;
	int mem;
	struct got_patch_row *rows;
	uint32_t *order; /* of them, by name */
	uint32_t nrows;
	bool lazy;
	struct got_patch_count *count;
	uint32_t before; /* count->slots when the module was begun */
	int err;
	struct scratch s;
	uint32_t nsymbols;
};

static int load(pid_t pid, uint64_t addr, uint64_t n, void **buf, size_t *cap)
{
	if (n > TABLE_MAX_BYTES)
		return -E2BIG;
	if (n > *cap) {
		void *more = realloc(*buf, n);

		if (!more)
			return -ENOMEM;
		*buf = more;
		*cap = n;
	}
	return n ? inject_read(pid, addr, *buf, n) : 0;
}

static bool is_wanted(const Elf64_Rela *r)
{
	uint32_t type = ELF64_R_TYPE(r->r_info);

	return ELF64_R_SYM(r->r_info) &&
	       (type == R_SLOT || type == R_GOT || (type == R_WORD && !r->r_addend));
}

/* A symbol's name, or NULL. */
static const char *name_of(const struct patching *p, uint32_t symbol)
{
	const Elf64_Sym *y = p->s.symbols;

	if (!y || symbol >= p->nsymbols || y[symbol].st_name >= p->m->strtab_bytes)
		return NULL;
	return (const char *)p->s.names + y[symbol].st_name;
}

/*
 * Is the slot unbound? It leads to the stub behind its own jump then, which pushes the number of
 * the relocation: (endbr64) 68 imm32.
 */
static bool is_unbound(const struct patching *p, uint64_t value, uint32_t index)
{
	static const uint8_t endbr64[4] = {0xf3, 0x0f, 0x1e, 0xfa};
	uint8_t code[16], *at = code;
	uint32_t number;

#if defined(__aarch64__)
	return false; /* every stub leads to one: nothing tells whose it was */
#endif
	if (inject_read(p->pid, value, code, sizeof(code)))
		return false;
	if (!memcmp(code, endbr64, sizeof(endbr64)))
		at += sizeof(endbr64);
	memcpy(&number, at + 1, sizeof(number));
	return at[0] == 0x68 && number == index;
}

/* May a word with this value be pointed to the row's function? */
static bool leads_to(struct patching *p, struct got_patch_row *row, uint64_t value, bool jump,
		     uint32_t index)
{
	if (value == row->from)
		return true;
	if (!jump || !p->lazy || !is_unbound(p, value, index))
		return false;
	row->unbound += row->several;
	return !row->several;
}

/* True: the word is the row's. */
static bool patch_word(struct patching *p, uint64_t at, uint64_t value, bool jump, uint32_t index,
		       struct got_patch_row *row)
{
	if (!row->from)
		return false;
	if (value != row->to) {
		if (!leads_to(p, row, value, jump, index))
			return false;
		if (!row->to) {
			row->slots++;
			return true;
		}
		if (pwrite(p->mem, &row->to, sizeof(row->to), (off_t)at) != sizeof(row->to)) {
			p->err = p->err ? p->err : -errno;
			return true;
		}
		p->count->written++;
	}
	p->count->slots++;
	row->slots++;
	return true;
}

static int compare_names(const void *a, const void *b, void *arg)
{
	const struct got_patch_row *rows = arg;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int by_name = strcmp(rows[x].name, rows[y].name);

	return by_name ? by_name : (x > y) - (x < y);
}

static int sort_rows(struct patching *p)
{
	p->order = malloc((p->nrows + 1) * sizeof(*p->order));
	if (!p->order)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->nrows; i++)
		p->order[i] = i;
	qsort_r(p->order, p->nrows, sizeof(*p->order), compare_names, p->rows);
	return 0;
}

/* The first in order whose name is not before this. */
static uint32_t first_named(const struct patching *p, const char *name)
{
	uint32_t lo = 0, hi = p->nrows;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (strcmp(p->rows[p->order[mid]].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Rows may have a name in common, and other addresses. */
static void patch_named(struct patching *p, const Elf64_Rela *r, bool jump, uint32_t index)
{
	const char *name = name_of(p, (uint32_t)ELF64_R_SYM(r->r_info));
	uint64_t at = r->r_offset + p->m->bias, value = 0;
	uint32_t i = name ? first_named(p, name) : p->nrows;
	bool known = false;

	if (i == p->nrows || strcmp(p->rows[p->order[i]].name, name) != 0 || at & 7 ||
	    inject_read(p->pid, at, &value, sizeof(value)))
		return;
	for (; i < p->nrows && !strcmp(p->rows[p->order[i]].name, name); i++) {
		struct got_patch_row *row = &p->rows[p->order[i]];

		known |= row->from != 0;
		if (patch_word(p, at, value, jump, index, row))
			return;
	}
	if (known)
		p->count->foreign += value && ELF64_R_TYPE(r->r_info) != R_WORD;
}

static int patch_table(struct patching *p, uint64_t addr, uint64_t bytes, bool jump)
{
	const Elf64_Rela *r;
	uint32_t n = (uint32_t)(bytes / sizeof(*r)), top = 0;
	int err = load(p->pid, addr, bytes, &p->s.relocs, &p->s.relocs_cap);

	if (err || !n)
		return err;
	r = p->s.relocs;
	for (uint32_t i = 0; i < n; i++)
		if (is_wanted(&r[i]) && ELF64_R_SYM(r[i].r_info) >= top)
			top = (uint32_t)ELF64_R_SYM(r[i].r_info) + 1;
	err = load(p->pid, p->m->symtab, top * sizeof(Elf64_Sym), &p->s.symbols, &p->s.symbols_cap);
	if (err)
		return err;
	p->nsymbols = top;
	for (uint32_t i = 0; i < n; i++)
		if (is_wanted(&r[i]))
			patch_named(p, &r[i], jump && ELF64_R_TYPE(r[i].r_info) == R_SLOT, i);
	return 0;
}

/* A module that cannot be read, because it goes away or is broken, is left alone. */
static void patch_module(struct patching *p)
{
	const struct inject_module *m = p->m;

	if (!m->symtab || !m->strtab || !m->strtab_bytes)
		return;
	if (load(p->pid, m->strtab, m->strtab_bytes, &p->s.names, &p->s.names_cap))
		return;
	((char *)p->s.names)[m->strtab_bytes - 1] = '\0';
	p->before = p->count->slots;
	patch_table(p, m->jmprel, m->jmprel ? m->jmprel_bytes : 0, true);
	patch_table(p, m->rela, m->rela ? m->rela_bytes : 0, false);
	p->count->modules += p->count->slots > p->before;
}

int got_patch_apply(const struct inject_modules *m, pid_t pid, uint32_t first, uint64_t skip,
		    struct got_patch_row *rows, uint32_t nrows, bool lazy,
		    struct got_patch_count *count)
{
	struct patching p = {
		.pid = pid, .rows = rows, .nrows = nrows, .lazy = lazy, .count = count};
	char path[32];

	p.err = sort_rows(&p);
	if (p.err)
		return p.err;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	p.mem = open(path, O_RDWR | O_CLOEXEC);
	if (p.mem < 0) {
		p.err = -errno;
		free(p.order);
		return p.err;
	}
	for (uint32_t i = first; i < m->n; i++) {
		p.m = &m->v[i];
		if (!p.m->is_loader && !p.m->is_vdso && p.m->map != skip)
			patch_module(&p);
	}
	free(p.order);
	free(p.s.relocs);
	free(p.s.symbols);
	free(p.s.names);
	close(p.mem);
	return p.err;
}
