/* SPDX-License-Identifier: Apache-2.0 */
/* probe_ifunc.c: the code that a resolver chose, read from where the loader keeps it. */
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "collectors/elf_image_priv.h"
#include "collectors/probe_plan_priv.h"

enum { IFUNC_MAX_RELOCATIONS = 1 << 20 };

struct ifunc {
	struct plan_work *w;
	const struct symbols_module *m; /* that has the resolver */
	uint64_t resolver;		/* vaddr */
	const char *name;
};

#if defined(__x86_64__)
enum { RELOC_GLOB = R_X86_64_GLOB_DAT, RELOC_SLOT = R_X86_64_JUMP_SLOT };
enum { RELOC_RESOLVED = R_X86_64_IRELATIVE };
#elif defined(__aarch64__)
enum { RELOC_GLOB = R_AARCH64_GLOB_DAT, RELOC_SLOT = R_AARCH64_JUMP_SLOT };
enum { RELOC_RESOLVED = R_AARCH64_IRELATIVE };
#else
enum { RELOC_GLOB = -1, RELOC_SLOT = -2, RELOC_RESOLVED = -3 };
#endif

static bool names_function(struct elf_image *e, const Elf64_Shdr *rela, uint32_t index,
			   const char *name)
{
	const Elf64_Shdr *syms, *strings;
	char text[256];
	Elf64_Sym y;

	if (rela->sh_link >= e->nsections)
		return false;
	syms = &e->sections[rela->sh_link];
	if (syms->sh_link >= e->nsections ||
	    elf_image_pread(e, syms->sh_offset + (uint64_t)index * sizeof(y), &y, sizeof(y)))
		return false;
	strings = &e->sections[syms->sh_link];
	return !elf_image_pread_string(e, strings->sh_offset + y.st_name,
				       strings->sh_offset + strings->sh_size, text, sizeof(text)) &&
	       !strcmp(text, name);
}

/* The pointer at a slot, if it leads into the resolver's file and not to the resolver. */
static bool read_slot(const struct ifunc *f, uint64_t addr, uint64_t *vaddr)
{
	const struct symbols_module *at;
	uint64_t pointer = 0;
	struct iovec local = {&pointer, sizeof(pointer)};
	struct iovec remote = {(void *)(uintptr_t)addr, sizeof(pointer)};

	if (process_vm_readv(f->w->pid, &local, 1, &remote, 1, 0) != sizeof(pointer))
		return false;
	at = symbols_module_at(f->w->syms, pointer);
	if (!at || strcmp(at->path, f->m->path) != 0)
		return false;
	*vaddr = pointer - at->bias;
	return *vaddr != f->resolver;
}

static bool search_table(const struct ifunc *f, const struct symbols_module *in,
			 const Elf64_Shdr *sh, uint64_t *vaddr)
{
	uint64_t n = sh->sh_size / sizeof(Elf64_Rela);
	bool own = !strcmp(in->path, f->m->path), found = false;
	Elf64_Rela *r;

	if (sh->sh_entsize != sizeof(*r) || !n || n > IFUNC_MAX_RELOCATIONS)
		return false;
	r = elf_image_load(in->image, sh->sh_offset, n * sizeof(*r),
			   IFUNC_MAX_RELOCATIONS * sizeof(*r));
	for (uint64_t i = 0; r && i < n && !found; i++) {
		int type = (int)ELF64_R_TYPE(r[i].r_info);
		bool hit = own && type == RELOC_RESOLVED && (uint64_t)r[i].r_addend == f->resolver;

		if (type == RELOC_GLOB || type == RELOC_SLOT)
			hit = names_function(in->image, sh, (uint32_t)ELF64_R_SYM(r[i].r_info),
					     f->name);
		found = hit && read_slot(f, in->bias + r[i].r_offset, vaddr);
	}
	free(r);
	return found;
}

bool plan_resolve_ifunc(struct plan_work *w, const struct symbols_module *m, uint64_t resolver,
			const char *name, uint64_t *vaddr)
{
	struct ifunc f = {w, m, resolver, name};
	uint32_t nmods;
	const struct symbols_module *mods = symbols_modules(w->syms, &nmods);
	const char *last = "";

	if (!w->pid)
		return false;
	for (uint32_t i = 0; i < nmods; i++) {
		if (!mods[i].image || mods[i].path[0] != '/' || !strcmp(last, mods[i].path))
			continue;
		last = mods[i].path;
		for (uint32_t s = 0; s < mods[i].image->nsections; s++)
			if (mods[i].image->sections[s].sh_type == SHT_RELA &&
			    search_table(&f, &mods[i], &mods[i].image->sections[s], vaddr))
				return true;
	}
	return false;
}
