/* SPDX-License-Identifier: Apache-2.0 */
/* elf_image_priv.h: what the files that implement elf_image.h share. */
#ifndef PERFTOP_ELF_IMAGE_PRIV_H
#define PERFTOP_ELF_IMAGE_PRIV_H

#include <elf.h>

#include "collectors/elf_image.h"

/* Bounds on what a file may make us keep. */
enum {
	ELF_MAX_SECTIONS = 65536,
	ELF_MAX_SEGMENTS = 4096,
	ELF_MAX_SYMBOLS = 1 << 21,
	ELF_MAX_USDTS = 1 << 16,
	ELF_MAX_NAME = 4096,
};
#define ELF_MAX_NOTES_BYTES   (16u << 20)
#define ELF_MAX_STRINGS_BYTES (256u << 20)

/* Where the name of a symbol is kept. */
enum elf_names { ELF_NAMES_OWN, ELF_NAMES_OTHER, ELF_NAMES_FDE };

/* 16 bytes a function: a browser has a million of them. */
struct elf_sym {
	uint64_t vaddr;
	uint32_t size : 28; /* saturated */
	uint32_t rank : 2;  /* among aliases: 2 global, 1 weak, 0 local */
	uint32_t names : 2; /* enum elf_names */
	uint32_t name;	    /* offset in the string table; none for ELF_NAMES_FDE */
};

struct elf_strings {
	struct elf_image *image; /* whose file holds the table; not owned */
	uint64_t offset, size;
};

struct elf_image {
	int fd;		      /* -1 when in memory */
	const uint8_t *bytes; /* in memory, owned */
	uint64_t size;
	char *label;
	Elf64_Ehdr eh;

	Elf64_Phdr *segments;
	uint32_t nsegments;
	Elf64_Shdr *sections;
	uint32_t nsections;
	char *section_names; /* NUL-terminated copy */
	size_t section_names_bytes;

	bool syms_loaded, stripped;
	struct elf_sym *syms; /* sorted by vaddr */
	uint32_t nsyms;
	struct elf_strings strings[2]; /* by enum elf_names */
	struct elf_image *other;       /* separate debug file or .gnu_debugdata; owned */
	bool is_debug_file;	       /* looks for no debug file of its own */

	struct elf_function *functions;
	char *function_names[3]; /* by enum elf_names */

	bool usdts_loaded;
	struct elf_usdt *usdts;
	uint32_t nusdts;
	char *usdt_bytes;

	bool cfi_loaded;
	struct Elf *elf;
	struct Dwarf_CFI_s *cfi;
	struct Dwarf *dwarf; /* for .debug_frame; loaded when first asked for */
	bool dwarf_loaded;

	bool info_loaded;
	struct Elf *info_elf;
	struct Dwarf *info;		   /* for inlined functions */
	struct inline_function *inlinable; /* functions by address, of the units looked into */
	uint32_t ninlinable, nunits;
	uint64_t *units; /* those, by their place in the debug information */
};

/* Bytes at a file offset: all n, or -EIO. */
int elf_image_pread(struct elf_image *e, uint64_t offset, void *buf, size_t n);
/* A NUL-terminated string at a file offset that ends before `end`, cut to fit. */
int elf_image_pread_string(struct elf_image *e, uint64_t offset, uint64_t end, char *buf,
			   size_t size);
/* n bytes at a file offset in new memory, with a NUL behind them; NULL on error. */
void *elf_image_load(struct elf_image *e, uint64_t offset, uint64_t n, uint64_t limit);

const Elf64_Shdr *elf_image_section(struct elf_image *e, const char *name);
const Elf64_Shdr *elf_image_section_of_type(struct elf_image *e, uint32_t type);
const char *elf_image_section_name(struct elf_image *e, const Elf64_Shdr *sh);

/* Build-id note: "GNU", type 3. Returns its length, 0 when there is none. */
enum { ELF_BUILD_ID_MAX = 64 };
size_t elf_image_build_id(struct elf_image *e, uint8_t id[ELF_BUILD_ID_MAX]);

/* Fill e->syms. elf_symbols.c */
int elf_image_load_symbols(struct elf_image *e);
/* FDE bounds of .eh_frame_hdr, appended to a growing array. elf_image_fde.c */
int elf_image_load_fdes(struct elf_image *e, struct elf_sym **out, uint32_t *n);
/* Open what holds the symbols that e lacks, or NULL. elf_image_debug.c */
struct elf_image *elf_image_open_debug_file(struct elf_image *e);
struct elf_image *elf_image_open_debugdata(struct elf_image *e);
/* elf_image_inlines.c */
void elf_image_close_info(struct elf_image *e);
/* Name of the PLT entry that holds vaddr. elf_image_plt.c */
int elf_image_find_plt(struct elf_image *e, uint64_t vaddr, struct elf_hit *out);
int elf_image_name_plt(struct elf_image *e, uint64_t start, char *buf, size_t size);

#define ELF_INDEX_PLT UINT32_MAX

#endif
