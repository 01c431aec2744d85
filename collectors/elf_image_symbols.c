/* SPDX-License-Identifier: Apache-2.0 */
/* elf_image_symbols.c: the functions of an ELF file: symbol tables, gaps, names, search. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/elf_image_priv.h"

/* Symbol tables are read in pieces of this many entries (24 KB). */
enum { SYMS_PER_READ = 1024 };

#define SYM_MAX_SIZE ((1u << 28) - 1)

struct sym_array {
	struct elf_sym *v;
	uint32_t n, cap;
};

static int sym_append(struct sym_array *a, const struct elf_sym *s)
{
	if (a->n == ELF_MAX_SYMBOLS)
		return -E2BIG;
	if (a->n == a->cap) {
		uint32_t cap = a->cap ? a->cap * 2 : 512;
		struct elf_sym *v = realloc(a->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		a->v = v;
		a->cap = cap;
	}
	a->v[a->n++] = *s;
	return 0;
}

static int sym_compare(const void *x, const void *y)
{
	const struct elf_sym *a = x, *b = y;

	if (a->vaddr != b->vaddr)
		return a->vaddr < b->vaddr ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank > b->rank ? -1 : 1;
	return a->name < b->name ? -1 : a->name > b->name;
}

static void sym_sort(struct sym_array *a)
{
	for (uint32_t i = 1; i < a->n; i++) {
		if (sym_compare(&a->v[i - 1], &a->v[i]) > 0) {
			qsort(a->v, a->n, sizeof(*a->v), sym_compare);
			return;
		}
	}
}

static bool sym_is_function(const Elf64_Sym *y, uint64_t names_bytes)
{
	unsigned type = ELF64_ST_TYPE(y->st_info);

	return (type == STT_FUNC || type == STT_GNU_IFUNC) && y->st_shndx != SHN_UNDEF &&
	       y->st_value && y->st_name && y->st_name < names_bytes;
}

/*
 * Append the functions of the table in section `sh` of file `from`. `shift` is what to add to its
 * addresses: a debug file keeps those from before prelink.
 */
static int sym_read_table(struct elf_image *from, const Elf64_Shdr *sh, uint64_t shift,
			  enum elf_names names, struct elf_strings *strings, struct sym_array *a)
{
	uint64_t total = sh->sh_size / sizeof(Elf64_Sym);
	Elf64_Sym *buf;
	int err = 0;

	if (sh->sh_entsize != sizeof(Elf64_Sym) || sh->sh_link >= from->nsections)
		return -ENOENT;
	strings->image = from;
	strings->offset = from->sections[sh->sh_link].sh_offset;
	strings->size = from->sections[sh->sh_link].sh_size;
	buf = malloc(SYMS_PER_READ * sizeof(*buf));
	if (!buf)
		return -ENOMEM;
	for (uint64_t at = 0; at < total && !err; at += SYMS_PER_READ) {
		size_t n = total - at < SYMS_PER_READ ? total - at : SYMS_PER_READ;

		if (elf_image_pread(from, sh->sh_offset + at * sizeof(*buf), buf, n * sizeof(*buf)))
			break;
		for (size_t i = 0; i < n && !err; i++) {
			unsigned bind = ELF64_ST_BIND(buf[i].st_info);
			struct elf_sym s = {
				.vaddr = buf[i].st_value + shift,
				.size = buf[i].st_size < SYM_MAX_SIZE ? buf[i].st_size
								      : SYM_MAX_SIZE,
				.rank = bind == STB_LOCAL  ? 0
					: bind == STB_WEAK ? 1
							   : 2,
				.names = names,
				.name = buf[i].st_name,
			};

			if (sym_is_function(&buf[i], strings->size))
				err = sym_append(a, &s);
		}
	}
	free(buf);
	return err;
}

static const Elf64_Phdr *first_load(const struct elf_image *e)
{
	for (uint32_t i = 0; i < e->nsegments; i++)
		if (e->segments[i].p_type == PT_LOAD)
			return &e->segments[i];
	return NULL;
}

/* Functions from another file that belongs to e, which keeps it when it was of use. */
static int sym_read_other(struct elf_image *e, struct elf_image *other, struct sym_array *a)
{
	const Elf64_Shdr *sh = other ? elf_image_section_of_type(other, SHT_SYMTAB) : NULL;
	const Elf64_Phdr *mine = first_load(e), *its = other ? first_load(other) : NULL;
	uint32_t before = a->n;
	int err = -ENOENT;

	if (sh)
		err = sym_read_table(other, sh, mine && its ? mine->p_vaddr - its->p_vaddr : 0,
				     ELF_NAMES_OTHER, &e->strings[ELF_NAMES_OTHER], a);
	if (a->n == before) {
		elf_image_free(other);
		return err ? err : -ENOENT;
	}
	e->other = other;
	return err;
}

/* Add the FDEs that begin where no symbol reaches. Both arrays are sorted. */
static int sym_fill_gaps(struct elf_image *e, struct sym_array *a)
{
	struct elf_sym *fdes = NULL;
	uint32_t n = 0, named = a->n, at = 0;
	uint64_t reach = 0;
	int err = elf_image_load_fdes(e, &fdes, &n);

	for (uint32_t i = 0; i < n && !err; i++) {
		for (; at < named && a->v[at].vaddr <= fdes[i].vaddr; at++) {
			uint64_t end = a->v[at].vaddr + (a->v[at].size ? a->v[at].size : 1);

			if (end > reach)
				reach = end;
		}
		if (fdes[i].vaddr >= reach)
			err = sym_append(a, &fdes[i]);
	}
	free(fdes);
	if (a->n != named)
		sym_sort(a);
	return err == -ENOENT ? 0 : err;
}

int elf_image_load_symbols(struct elf_image *e)
{
	const Elf64_Shdr *symtab = elf_image_section_of_type(e, SHT_SYMTAB);
	const Elf64_Shdr *dynsym = elf_image_section_of_type(e, SHT_DYNSYM);
	struct sym_array a = {0};
	int err = 0;

	if (e->syms_loaded)
		return 0;
	if (symtab)
		err = sym_read_table(e, symtab, 0, ELF_NAMES_OWN, &e->strings[ELF_NAMES_OWN], &a);
	if (!a.n && !e->is_debug_file)
		err = sym_read_other(e, elf_image_open_debug_file(e), &a);
	if (!a.n) {
		if (dynsym)
			sym_read_table(e, dynsym, 0, ELF_NAMES_OWN, &e->strings[ELF_NAMES_OWN], &a);
		if (!e->is_debug_file)
			sym_read_other(e, elf_image_open_debugdata(e), &a);
		e->stripped = !a.n;
		sym_sort(&a);
		err = sym_fill_gaps(e, &a);
	} else {
		sym_sort(&a);
	}
	if (err == -ENOMEM) {
		free(a.v);
		return err;
	}
	if (a.n) {
		struct elf_sym *fit = realloc(a.v, a.n * sizeof(*fit));

		if (fit)
			a.v = fit;
	}
	e->syms = a.v;
	e->nsyms = a.n;
	e->syms_loaded = true;
	return 0;
}

bool elf_image_stripped(struct elf_image *e)
{
	elf_image_load_symbols(e);
	return e->stripped;
}

/* ---- names ---------------------------------------------------------------------------------- */

enum { FDE_NAME_BYTES = sizeof("fn@0x0123456789abcdef") };

static int functions_load_names(struct elf_image *e)
{
	uint32_t fdes = 0;

	for (int i = ELF_NAMES_OWN; i <= ELF_NAMES_OTHER; i++) {
		const struct elf_strings *s = &e->strings[i];

		if (s->image && !e->function_names[i])
			e->function_names[i] =
				elf_image_load(s->image, s->offset, s->size, ELF_MAX_STRINGS_BYTES);
	}
	for (uint32_t i = 0; i < e->nsyms; i++)
		fdes += e->syms[i].names == ELF_NAMES_FDE;
	e->function_names[ELF_NAMES_FDE] = malloc(fdes * (size_t)FDE_NAME_BYTES + 1);
	return e->function_names[ELF_NAMES_FDE] ? 0 : -ENOMEM;
}

int elf_image_functions(struct elf_image *e, const struct elf_function **out, uint32_t *n)
{
	int err = elf_image_load_symbols(e);
	char *fde;

	*out = NULL;
	*n = 0;
	if (!err && !e->functions)
		err = functions_load_names(e);
	if (err)
		return err;
	if (!e->functions) {
		e->functions = malloc((e->nsyms + 1) * sizeof(*e->functions));
		if (!e->functions)
			return -ENOMEM;
		fde = e->function_names[ELF_NAMES_FDE];
		for (uint32_t i = 0; i < e->nsyms; i++) {
			const struct elf_sym *s = &e->syms[i];
			const char *table = e->function_names[s->names];

			e->functions[i] = (struct elf_function){
				.name = !table ? "" : table + s->name,
				.vaddr = s->vaddr,
				.size = s->size,
			};
			if (s->names != ELF_NAMES_FDE)
				continue;
			e->functions[i].name = fde;
			fde += 1 + snprintf(fde, FDE_NAME_BYTES, "fn@0x%llx",
					    (unsigned long long)s->vaddr);
		}
	}
	*out = e->functions;
	*n = e->nsyms;
	return 0;
}

static int sym_name(struct elf_image *e, const struct elf_sym *s, char *buf, size_t size)
{
	const struct elf_strings *t = &e->strings[s->names & 1];
	int err;

	if (s->names == ELF_NAMES_FDE) {
		snprintf(buf, size, "fn@0x%llx", (unsigned long long)s->vaddr);
		return 0;
	}
	err = elf_image_pread_string(t->image, t->offset + s->name, t->offset + t->size, buf, size);
	/* A version, as in pthread_mutex_lock@@GLIBC_2.34 of a file of debug symbols. */
	buf[strcspn(buf, "@")] = '\0';
	return err;
}

int elf_image_name(struct elf_image *e, const struct elf_hit *hit, char *buf, size_t size)
{
	if (!size)
		return -EINVAL;
	buf[0] = '\0';
	if (hit->index == ELF_INDEX_PLT)
		return elf_image_name_plt(e, hit->start, buf, size);
	if (hit->index >= e->nsyms)
		return -EINVAL;
	return sym_name(e, &e->syms[hit->index], buf, size);
}

/* ---- search --------------------------------------------------------------------------------- */

static size_t underscores(const char *name)
{
	return strspn(name, "_");
}

/*
 * Of aliases at one address choose the name that people use: global before weak before local,
 * then fewer leading underscores, then the shorter. They are sorted by rank.
 */
static uint32_t sym_choose_alias(struct elf_image *e, uint32_t last)
{
	char best_name[128], name[128];
	uint32_t first = last, best;

	while (first > 0 && e->syms[first - 1].vaddr == e->syms[last].vaddr)
		first--;
	best = first;
	if (first == last || sym_name(e, &e->syms[first], best_name, sizeof(best_name)))
		return best;
	for (uint32_t i = first + 1; i <= last && i < first + 16; i++) {
		size_t a, b;

		if (e->syms[i].rank != e->syms[first].rank ||
		    sym_name(e, &e->syms[i], name, sizeof(name)))
			break;
		a = underscores(name);
		b = underscores(best_name);
		if (a < b || (a == b && strlen(name) < strlen(best_name))) {
			best = i;
			memcpy(best_name, name, sizeof(name));
		}
	}
	return best;
}

int elf_image_find(struct elf_image *e, uint64_t vaddr, struct elf_hit *out)
{
	uint32_t lo = 0, hi;
	int err = elf_image_load_symbols(e);

	if (err)
		return err;
	if (!elf_image_find_plt(e, vaddr, out))
		return 0;
	hi = e->nsyms;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (e->syms[mid].vaddr <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* A function can lie inside another one's range: look a few places back for the outer. */
	for (uint32_t i = lo, tries = 0; i > 0 && tries < 16; i--, tries++) {
		const struct elf_sym *s = &e->syms[i - 1];

		/* One of unknown size reaches to the next symbol. */
		if (vaddr - s->vaddr >= s->size && (s->size || tries))
			continue;
		out->index = sym_choose_alias(e, i - 1);
		out->start = s->vaddr;
		out->size = s->size;
		return 0;
	}
	return -ENOENT;
}
