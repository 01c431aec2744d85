/* SPDX-License-Identifier: Apache-2.0 */
/* elf_image_inlines.c: which functions were inlined at an address, by the debug information. */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/elf_image_priv.h"

enum {
	/* Of debug sections, which libdw keeps in memory: the program's own, and a library's. */
	INLINES_MAX_BYTES = 32 << 20,
	INLINES_MAX_OTHER_BYTES = 8 << 20,
	INLINES_UNPACKED = 4, /* times as large as packed, about */
	INLINES_DEPTH = 64,   /* blocks within each other */
	SCOPES_DEPTH = 16,    /* namespaces and types within each other */
};

/* Code of a function, one for each of its ranges; by address. */
struct inline_function {
	uint64_t low, high, die;
};

static uint64_t debug_bytes(struct elf_image *e)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < e->nsections; i++) {
		const Elf64_Shdr *sh = &e->sections[i];

		if (!strncmp(elf_image_section_name(e, sh), ".debug_", 7))
			sum += sh->sh_flags & SHF_COMPRESSED ? INLINES_UNPACKED * sh->sh_size
							     : sh->sh_size;
	}
	return sum;
}

/* The file that has it: this one, or its separate debug file. */
static struct elf_image *with_debug_info(struct elf_image *e)
{
	elf_image_load_symbols(e);
	if (e->fd >= 0 && elf_image_section(e, ".debug_info"))
		return e;
	e = e->other;
	return e && e->fd >= 0 && elf_image_section(e, ".debug_info") ? e : NULL;
}

static Dwarf *open_info(struct elf_image *e)
{
	struct elf_image *d;

	if (e->info_loaded)
		return e->info;
	e->info_loaded = true;
	d = with_debug_info(e);
	if (!d || debug_bytes(d) > (d == e ? INLINES_MAX_BYTES : INLINES_MAX_OTHER_BYTES) ||
	    elf_version(EV_CURRENT) == EV_NONE)
		return NULL;
	/* Read, not mapped: the file may shrink under us. */
	e->info_elf = elf_begin(d->fd, ELF_C_READ, NULL);
	if (e->info_elf)
		e->info = dwarf_begin_elf(e->info_elf, DWARF_C_READ, NULL);
	return e->info;
}

bool elf_image_has_inlines(struct elf_image *e)
{
	return open_info(e) != NULL;
}

void elf_image_close_info(struct elf_image *e)
{
	free(e->inlinable);
	free(e->units);
	if (e->info)
		dwarf_end(e->info);
	if (e->info_elf)
		elf_end(e->info_elf);
}

/* Not every compiler writes .debug_aranges: ask each unit then. */
static bool find_unit(Dwarf *info, uint64_t vaddr, Dwarf_Die *unit)
{
	Dwarf_CU *cu = NULL;

	if (dwarf_addrdie(info, vaddr, unit))
		return true;
	while (!dwarf_get_units(info, cu, &cu, NULL, NULL, unit, NULL))
		if (dwarf_haspc(unit, vaddr) > 0)
			return true;
	return false;
}

static const char *name_of(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *linkage = NULL;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr))
		linkage = dwarf_formstring(&attr);
	return linkage ? linkage : dwarf_diename(die);
}

/* ---- the functions of a unit, looked up once ------------------------------------------------- */

static int grow(void **array, uint32_t n, size_t size)
{
	void *more;

	/* At each power of two. */
	if (n & (n - 1))
		return 0;
	more = reallocarray(*array, n ? 2 * (size_t)n : 1, size);
	if (!more)
		return -1;
	*array = more;
	return 0;
}

/* The next one, which lies behind: a file that says otherwise would have us go round for ever. */
static bool next_die(Dwarf_Die *die)
{
	Dwarf_Off before = dwarf_dieoffset(die);

	return !dwarf_siblingof(die, die) && dwarf_dieoffset(die) > before;
}

static void add_function(struct elf_image *e, Dwarf_Die *die)
{
	Dwarf_Addr base, low, high;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(die, at, &base, &low, &high)) > 0) {
		if (grow((void **)&e->inlinable, e->ninlinable, sizeof(*e->inlinable)))
			return;
		e->inlinable[e->ninlinable++] =
			(struct inline_function){low, high, dwarf_dieoffset(die)};
	}
}

/* C++ and Rust have functions within namespaces and types. */
static void add_scope(struct elf_image *e, Dwarf_Die *scope, uint32_t depth)
{
	Dwarf_Die die;

	if (depth == SCOPES_DEPTH || dwarf_child(scope, &die))
		return;
	do {
		switch (dwarf_tag(&die)) {
		case DW_TAG_subprogram:
			add_function(e, &die);
			break;
		case DW_TAG_namespace:
		case DW_TAG_module:
		case DW_TAG_class_type:
		case DW_TAG_structure_type:
		case DW_TAG_union_type:
		case DW_TAG_enumeration_type:
			add_scope(e, &die, depth + 1);
			break;
		default:
			break;
		}
	} while (next_die(&die));
}

static int compare_functions(const void *a, const void *b)
{
	const struct inline_function *x = a, *y = b;

	return (x->low > y->low) - (x->low < y->low);
}

static const struct inline_function *known_function(const struct elf_image *e, uint64_t vaddr)
{
	uint32_t low = 0, high = e->ninlinable;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (e->inlinable[mid].low <= vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	return low && vaddr < e->inlinable[low - 1].high ? &e->inlinable[low - 1] : NULL;
}

/* A unit has thousands of entries that are no function: they are gone through once. */
static const struct inline_function *function_at(struct elf_image *e, uint64_t vaddr)
{
	const struct inline_function *f = known_function(e, vaddr);
	Dwarf_Die unit;
	uint64_t offset;

	if (f || !find_unit(e->info, vaddr, &unit))
		return f;
	offset = dwarf_dieoffset(&unit);
	for (uint32_t i = 0; i < e->nunits; i++)
		if (e->units[i] == offset)
			return NULL;
	if (grow((void **)&e->units, e->nunits, sizeof(*e->units)))
		return NULL;
	e->units[e->nunits++] = offset;
	add_scope(e, &unit, 0);
	if (e->ninlinable)
		qsort(e->inlinable, e->ninlinable, sizeof(*e->inlinable), compare_functions);
	return known_function(e, vaddr);
}

/* ---- what is inlined there ------------------------------------------------------------------ */

/* Blocks and inlined calls around the address, the outermost first. */
static uint32_t blocks_at(Dwarf_Die *function, uint64_t vaddr, Dwarf_Die *path)
{
	Dwarf_Die at = *function, child;
	uint32_t n = 0;
	bool deeper = true;

	while (deeper && n < INLINES_DEPTH && !dwarf_child(&at, &child)) {
		deeper = false;
		do {
			int tag = dwarf_tag(&child);

			if ((tag != DW_TAG_inlined_subroutine && tag != DW_TAG_lexical_block &&
			     tag != DW_TAG_try_block && tag != DW_TAG_catch_block) ||
			    dwarf_haspc(&child, vaddr) <= 0)
				continue;
			path[n++] = at = child;
			deeper = true;
		} while (!deeper && next_die(&child));
	}
	return n;
}

uint32_t elf_image_inlines(struct elf_image *e, uint64_t vaddr, struct elf_inline *out,
			   uint32_t max)
{
	Dwarf *info = open_info(e);
	const struct inline_function *f = info ? function_at(e, vaddr) : NULL;
	Dwarf_Die function, path[INLINES_DEPTH];
	uint32_t n = 0, depth;

	if (!f || !dwarf_offdie(info, f->die, &function))
		return 0;
	depth = blocks_at(&function, vaddr, path);
	while (depth-- && n < max) {
		Dwarf_Die *die = &path[depth];

		/* Wrappers of single instructions are marked so, and say nothing. */
		if (dwarf_tag(die) != DW_TAG_inlined_subroutine ||
		    dwarf_hasattr_integrate(die, DW_AT_artificial))
			continue;
		out[n].name = name_of(die);
		out[n].key = dwarf_dieoffset(die);
		n += out[n].name != NULL;
	}
	return n;
}
