/* SPDX-License-Identifier: Apache-2.0 */
/* elf_image_ifunc.c: scan the symbol tables for STT_GNU_IFUNC. */
#include "collectors/elf_image_ifunc.h"

#include <errno.h>
#include <stdlib.h>

#include "collectors/elf_image_priv.h"

static uint32_t scan_table(struct elf_image *e, const Elf64_Shdr *sh, uint64_t *out, uint32_t n,
			   uint32_t max)
{
	uint64_t count = sh->sh_size / sizeof(Elf64_Sym);
	Elf64_Sym *syms;

	if (sh->sh_entsize != sizeof(Elf64_Sym) || !count || count > ELF_MAX_SYMBOLS)
		return n;
	syms = elf_image_load(e, sh->sh_offset, count * sizeof(*syms),
			      (uint64_t)ELF_MAX_SYMBOLS * sizeof(*syms));
	for (uint64_t i = 0; syms && i < count && n < max; i++)
		if (ELF64_ST_TYPE(syms[i].st_info) == STT_GNU_IFUNC && syms[i].st_value)
			out[n++] = syms[i].st_value;
	free(syms);
	return n;
}

int elf_image_ifuncs(struct elf_image *e, uint64_t *out, uint32_t max)
{
	const uint32_t types[] = {SHT_DYNSYM, SHT_SYMTAB};
	uint32_t n = 0;

	for (int i = 0; i < 2; i++) {
		const Elf64_Shdr *sh = elf_image_section_of_type(e, types[i]);

		if (sh)
			n = scan_table(e, sh, out, n, max);
	}
	return (int)n;
}
