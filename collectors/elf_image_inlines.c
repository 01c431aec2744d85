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

uint32_t elf_image_inlines(struct elf_image *e, uint64_t vaddr, struct elf_inline *out,
			   uint32_t max)
{
	Dwarf *info = open_info(e);
	Dwarf_Die unit, *scopes = NULL;
	uint32_t n = 0;
	int nscopes;

	if (!info || !find_unit(info, vaddr, &unit))
		return 0;
	/* From an inlined function the first call goes on to what encloses its definition. */
	nscopes = dwarf_getscopes(&unit, vaddr, &scopes);
	if (nscopes > 0) {
		Dwarf_Die innermost = scopes[0];

		free(scopes);
		nscopes = dwarf_getscopes_die(&innermost, &scopes);
	}
	for (int i = 0; i < nscopes && n < max; i++) {
		if (dwarf_tag(&scopes[i]) == DW_TAG_subprogram)
			break;
		/* Wrappers of single instructions are marked so, and say nothing. */
		if (dwarf_tag(&scopes[i]) != DW_TAG_inlined_subroutine ||
		    dwarf_hasattr_integrate(&scopes[i], DW_AT_artificial))
			continue;
		out[n].name = name_of(&scopes[i]);
		out[n].key = dwarf_dieoffset(&scopes[i]);
		n += out[n].name != NULL;
	}
	if (nscopes > 0)
		free(scopes);
	return n;
}
