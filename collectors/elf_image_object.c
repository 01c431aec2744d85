/* SPDX-License-Identifier: Apache-2.0 */
/* elf_image_object.c: the variable that holds an address. */
#include <errno.h>
#include <string.h>

#include "collectors/elf_image_priv.h"

enum { CHUNK = 256 };

static bool in_segment(const struct elf_image *e, uint64_t vaddr)
{
	for (uint32_t i = 0; i < e->nsegments; i++)
		if (e->segments[i].p_type == PT_LOAD && vaddr >= e->segments[i].p_vaddr &&
		    vaddr - e->segments[i].p_vaddr < e->segments[i].p_memsz)
			return true;
	return false;
}

static bool holds(const Elf64_Sym *s, uint64_t vaddr)
{
	return ELF64_ST_TYPE(s->st_info) == STT_OBJECT && s->st_shndx != SHN_UNDEF &&
	       vaddr >= s->st_value && vaddr - s->st_value < s->st_size;
}

/* The smallest that holds it: a symbol may cover a whole section. */
static bool find(struct elf_image *e, uint32_t type, uint64_t vaddr, Elf64_Sym *best)
{
	const Elf64_Shdr *sh = elf_image_section_of_type(e, type);
	uint64_t n = sh ? sh->sh_size / sizeof(Elf64_Sym) : 0;
	Elf64_Sym chunk[CHUNK];
	bool found = false;

	if (n > ELF_MAX_SYMBOLS)
		n = ELF_MAX_SYMBOLS;
	for (uint64_t at = 0; at < n; at += CHUNK) {
		uint64_t some = n - at < CHUNK ? n - at : CHUNK;

		if (elf_image_pread(e, sh->sh_offset + at * sizeof(chunk[0]), chunk,
				    some * sizeof(chunk[0])))
			return found;
		for (uint64_t i = 0; i < some; i++)
			if (holds(&chunk[i], vaddr) &&
			    (!found || chunk[i].st_size < best->st_size)) {
				*best = chunk[i];
				found = true;
			}
	}
	return found;
}

static int name_of(struct elf_image *e, uint32_t type, const Elf64_Sym *s, char *buf, size_t size)
{
	const Elf64_Shdr *sh = elf_image_section_of_type(e, type), *strings;

	if (!sh || sh->sh_link >= e->nsections)
		return -ENOENT;
	strings = &e->sections[sh->sh_link];
	if (s->st_name >= strings->sh_size)
		return -ENOENT;
	return elf_image_pread_string(e, strings->sh_offset + s->st_name,
				      strings->sh_offset + strings->sh_size, buf, size);
}

int elf_image_object(struct elf_image *e, uint64_t vaddr, char *buf, size_t size, uint64_t *offset)
{
	static const uint32_t types[] = {SHT_SYMTAB, SHT_DYNSYM};
	struct elf_image *files[2] = {e, NULL};

	if (!in_segment(e, vaddr))
		return -ENOENT;
	/* Has the separate debug file opened, where there is one. */
	elf_image_load_symbols(e);
	files[1] = e->other;
	for (uint32_t f = 0; f < 2 && files[f]; f++)
		for (uint32_t t = 0; t < 2; t++) {
			Elf64_Sym sym;

			if (!find(files[f], types[t], vaddr, &sym))
				continue;
			*offset = vaddr - sym.st_value;
			return name_of(files[f], types[t], &sym, buf, size);
		}
	return -ENODATA;
}
