/* SPDX-License-Identifier: Apache-2.0 */
/* elf_image.h: one ELF file, opened once: its functions, USDT notes and unwind tables. */
#ifndef PERFTOP_ELF_IMAGE_H
#define PERFTOP_ELF_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct Elf;
struct Dwarf_CFI_s;

/*
 * The file is untrusted: sizes, offsets and indices are checked, and a broken file gives fewer
 * symbols, never a crash. It is read by pread and never mapped, so a file that shrinks under us
 * gives short reads and no SIGBUS. Addresses are the file's own virtual addresses (vaddr); offsets
 * are positions in the file, which is what uprobes are placed by. 64-bit, native byte order only.
 * An image belongs to one thread at a time.
 */
struct elf_image;

struct elf_function {
	const char *name; /* raw (mangled) name; owned by the image */
	uint64_t vaddr;
	uint64_t size; /* 0 when the symbol table does not say */
};

struct elf_usdt {
	const char *provider, *name, *args; /* owned by the image */
	uint64_t offset;		    /* file offset of the nop */
	uint64_t semaphore_offset;	    /* file offset of the u16 semaphore; 0 = none */
};

/*
 * Open by file descriptor (taken over, also on failure). `label` names it in messages.
 * Returns NULL with *err = -errno: -ENOEXEC not ELF or wrong class, -ENOMEM, -EIO.
 */
struct elf_image *elf_image_open_fd(int fd, const char *label, int *err);
struct elf_image *elf_image_open(const char *path, int *err);
/* The same from bytes, which are copied: the vdso. */
struct elf_image *elf_image_open_memory(const void *bytes, size_t size, const char *label,
					int *err);
void elf_image_free(struct elf_image *e);
const char *elf_image_label(const struct elf_image *e);

/*
 * Functions sorted by vaddr, from .symtab, else from the .symtab of a separate debug file (by
 * build-id or .gnu_debuglink), else from .dynsym and .gnu_debugdata with the gaps filled by the
 * bounds that .eh_frame's FDEs give (those are named "fn@0xADDR"). Loaded at the first call.
 * Aliases at one address are all kept. The names take memory: elf_image_find() does without.
 */
int elf_image_functions(struct elf_image *e, const struct elf_function **out, uint32_t *n);
bool elf_image_stripped(struct elf_image *e); /* true when names came from FDEs alone */

/* The function that holds an address, found without loading any name. */
struct elf_hit {
	uint64_t start; /* vaddr */
	uint64_t size;	/* 0 = not known */
	uint32_t index; /* for elf_image_name() */
};
int elf_image_find(struct elf_image *e, uint64_t vaddr, struct elf_hit *out); /* or -ENOENT */
/* Raw name of a hit, NUL-terminated, cut to fit: "foo", "foo@plt", "fn@0x1234". 0 or -errno. */
int elf_image_name(struct elf_image *e, const struct elf_hit *hit, char *buf, size_t size);

/*
 * Raw name of the variable that holds vaddr, and how far into it; reads the symbol table. -ENOENT
 * when no segment holds it, -ENODATA when none of the symbols does.
 */
int elf_image_object(struct elf_image *e, uint64_t vaddr, char *buf, size_t size, uint64_t *offset);

/*
 * Functions inlined at vaddr, innermost first, without the one that holds them all, as the debug
 * information of the file or of its separate debug file tells. Returns how many; 0 also when there
 * is none, or more of it than is kept in memory (32 MB, 8 MB of a separate file).
 */
struct elf_inline {
	const char *name; /* raw; owned by the image */
	uint64_t key;	  /* of this place of inlining, in the file */
};
uint32_t elf_image_inlines(struct elf_image *e, uint64_t vaddr, struct elf_inline *out,
			   uint32_t max);
bool elf_image_has_inlines(struct elf_image *e);

/* USDT notes (.note.stapsdt), prelink-adjusted by .stapsdt.base. 0 notes is success. */
int elf_image_usdts(struct elf_image *e, const struct elf_usdt **out, uint32_t *n);

/* vaddr <-> file offset through PT_LOAD; -ENOENT when no segment holds it. */
int elf_image_offset_of(struct elf_image *e, uint64_t vaddr, uint64_t *offset);
int elf_image_vaddr_of(struct elf_image *e, uint64_t offset, uint64_t *vaddr);
/* What to add to a vaddr for its address, given where the file is mapped executable from offset. */
int elf_image_bias(struct elf_image *e, uint64_t start, uint64_t offset, uint64_t *bias);

/* Copy up to n bytes of code at vaddr; returns how many (file bytes, not memory). */
size_t elf_image_read(struct elf_image *e, uint64_t vaddr, void *buf, size_t n);

bool elf_image_is_go(struct elf_image *e);	      /* .go.buildinfo or .gopclntab present */
bool elf_image_go_has_registers(struct elf_image *e); /* of Go 1.18 or later: passes arguments so */
int elf_image_machine(struct elf_image *e);	      /* EM_X86_64, EM_AARCH64 … */

/*
 * Unwind tables (elfutils): .eh_frame, and .debug_frame, which Go and C without unwind tables have
 * instead; NULL when there is none, or it would take too much memory. Owned by the image.
 */
struct Dwarf_CFI_s *elf_image_cfi(struct elf_image *e);
struct Dwarf_CFI_s *elf_image_debug_cfi(struct elf_image *e);

#endif
