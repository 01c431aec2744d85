/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_memory.c: reading another process's memory, its code's references, and ELF symbols. */
#include "collectors/alloc_memory.h"

#include <errno.h>
#include <gelf.h>
#include <string.h>
#include <sys/uio.h>

#include "collectors/insn_x86.h"

int alloc_memory_read(pid_t pid, uint64_t addr, void *buf, size_t n)
{
	struct iovec here = {buf, n}, there = {(void *)(uintptr_t)addr, n};
	ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);

	if (got < 0)
		return -errno;
	return (size_t)got == n ? 0 : -EFAULT;
}

#if defined(__x86_64__)
/* lea d32(%rip), r64: REX.W, 8d, mod 0 and rm 5. */
static int is_lea_rip(const uint8_t *code, uint8_t len)
{
	return len == 7 && (code[0] & 0xf8) == 0x48 && code[1] == 0x8d && (code[2] & 0xc7) == 5;
}

uint32_t alloc_memory_leas(pid_t pid, uint64_t function, size_t n, uint64_t *out, uint32_t max)
{
	uint8_t code[1024];
	uint32_t found = 0;
	struct insn insn;
	int32_t d;

	n = n < sizeof(code) ? n : sizeof(code);
	if (alloc_memory_read(pid, function, code, n))
		return 0;
	for (size_t at = 0; found < max && at < n; at += insn.len) {
		if (insn_x86_decode(code + at, n - at, &insn) < 0)
			break;
		if (!is_lea_rip(code + at, insn.len))
			continue;
		memcpy(&d, code + at + 3, sizeof(d));
		out[found++] = function + at + insn.len + (uint64_t)(int64_t)d;
	}
	return found;
}
#else
uint32_t alloc_memory_leas(pid_t pid, uint64_t function, size_t n, uint64_t *out, uint32_t max)
{
	return 0;
}
#endif

static void look_in(Elf *elf, Elf_Scn *scn, const GElf_Shdr *header, struct alloc_symbol *symbols,
		    uint32_t n)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t count = header->sh_entsize ? header->sh_size / header->sh_entsize : 0;
	GElf_Sym sym;

	for (size_t i = 0; data && i < count && gelf_getsym(data, (int)i, &sym); i++) {
		int type = GELF_ST_TYPE(sym.st_info);
		const char *name;

		if (sym.st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_OBJECT))
			continue;
		name = elf_strptr(elf, header->sh_link, sym.st_name);
		for (uint32_t k = 0; name && k < n; k++)
			if (!symbols[k].vaddr && !strcmp(name, symbols[k].name))
				symbols[k].vaddr = sym.st_value;
	}
}

int alloc_elf_symbols(int fd, struct alloc_symbol *symbols, uint32_t n)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr header;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF) {
		elf_end(elf);
		return -ENOEXEC;
	}
	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &header) &&
		    (header.sh_type == SHT_SYMTAB || header.sh_type == SHT_DYNSYM))
			look_in(elf, scn, &header, symbols, n);
	elf_end(elf);
	return 0;
}
