/* SPDX-License-Identifier: Apache-2.0 */
/* elf_image_plt.c: names for the stubs through which a file calls functions of others. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collectors/elf_image_priv.h"

enum { PLT_ENTRY_BYTES = 16, RELAS_PER_READ = 128 };

static const Elf64_Shdr *plt_section_at(struct elf_image *e, uint64_t vaddr)
{
	for (uint32_t i = 0; i < e->nsections; i++) {
		const Elf64_Shdr *sh = &e->sections[i];

		if (sh->sh_type == SHT_PROGBITS && (sh->sh_flags & SHF_EXECINSTR) &&
		    vaddr >= sh->sh_addr && vaddr - sh->sh_addr < sh->sh_size &&
		    !strncmp(elf_image_section_name(e, sh), ".plt", 4))
			return sh;
	}
	return NULL;
}

int elf_image_find_plt(struct elf_image *e, uint64_t vaddr, struct elf_hit *out)
{
	const Elf64_Shdr *sh = plt_section_at(e, vaddr);
	uint64_t entry;

	if (!sh)
		return -ENOENT;
	entry = sh->sh_entsize == 8 ? 8 : PLT_ENTRY_BYTES;
	out->start = vaddr - (vaddr - sh->sh_addr) % entry;
	out->size = entry;
	out->index = ELF_INDEX_PLT;
	return 0;
}

/* Address of the GOT slot that the stub jumps through; 0 when there is no such jump. */
static uint64_t plt_slot(struct elf_image *e, uint64_t start)
{
	uint8_t code[PLT_ENTRY_BYTES];
	size_t n = elf_image_read(e, start, code, sizeof(code));

	if (e->eh.e_machine == EM_X86_64) {
		/* ff 25 rel32: jmp *rel32(%rip), behind an endbr64 or not. */
		for (size_t i = 0; i + 6 <= n; i++) {
			int32_t rel;

			if (code[i] != 0xff || code[i + 1] != 0x25)
				continue;
			memcpy(&rel, code + i + 2, sizeof(rel));
			return start + i + 6 + (uint64_t)(int64_t)rel;
		}
	}
	if (e->eh.e_machine == EM_AARCH64) {
		/* adrp x16, page; ldr x17, [x16, #lo12] */
		for (size_t i = 0; i + 8 <= n; i += 4) {
			uint32_t a, l;
			int64_t page;

			memcpy(&a, code + i, 4);
			memcpy(&l, code + i + 4, 4);
			if ((a & 0x9f00001f) != 0x90000010 || (l & 0xffc003ff) != 0xf9400211)
				continue;
			page = (int64_t)((uint64_t)((a >> 5 & 0x7ffff) << 2 | (a >> 29 & 3))
					 << 43) >>
			       43;
			return ((start + i) & ~0xfffull) + ((uint64_t)page << 12) +
			       (l >> 10 & 0xfff) * 8;
		}
	}
	return 0;
}

/* Dynamic symbol that the relocation of the slot names: its name, or -ENOENT. */
static int plt_symbol_name(struct elf_image *e, uint32_t index, char *buf, size_t size)
{
	const Elf64_Shdr *sh = elf_image_section_of_type(e, SHT_DYNSYM);
	const Elf64_Shdr *str;
	Elf64_Sym y;

	if (!sh || !index || index >= sh->sh_size / sizeof(y) || sh->sh_link >= e->nsections)
		return -ENOENT;
	str = &e->sections[sh->sh_link];
	if (elf_image_pread(e, sh->sh_offset + index * sizeof(y), &y, sizeof(y)) ||
	    y.st_name >= str->sh_size)
		return -ENOENT;
	return elf_image_pread_string(e, str->sh_offset + y.st_name, str->sh_offset + str->sh_size,
				      buf, size);
}

static int plt_find_relocation(struct elf_image *e, const Elf64_Shdr *sh, uint64_t slot,
			       uint32_t *index)
{
	uint64_t total = sh->sh_size / sizeof(Elf64_Rela);
	Elf64_Rela buf[RELAS_PER_READ];

	for (uint64_t at = 0; at < total; at += RELAS_PER_READ) {
		size_t n = total - at < RELAS_PER_READ ? total - at : RELAS_PER_READ;

		if (elf_image_pread(e, sh->sh_offset + at * sizeof(*buf), buf, n * sizeof(*buf)))
			return -EIO;
		for (size_t i = 0; i < n; i++) {
			if (buf[i].r_offset == slot) {
				*index = (uint32_t)ELF64_R_SYM(buf[i].r_info);
				return 0;
			}
		}
	}
	return -ENOENT;
}

int elf_image_name_plt(struct elf_image *e, uint64_t start, char *buf, size_t size)
{
	uint64_t slot = plt_slot(e, start);
	uint32_t index;
	size_t n;

	for (uint32_t i = 0; slot && i < e->nsections; i++) {
		const Elf64_Shdr *sh = &e->sections[i];

		if (sh->sh_type != SHT_RELA || plt_find_relocation(e, sh, slot, &index))
			continue;
		if (plt_symbol_name(e, index, buf, size))
			break;
		n = strlen(buf);
		snprintf(buf + n, size - n, "@plt");
		return 0;
	}
	snprintf(buf, size, "[plt]");
	return 0;
}
