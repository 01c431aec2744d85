/* SPDX-License-Identifier: Apache-2.0 */
/* elf_image.c: opening an ELF file, its segments and sections, bounded reads. */
#include "collectors/elf_image.h"

#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/elf_image_priv.h"

enum { DEBUG_PACKED_MAX = 8 << 20 }; /* some 30 MB unpacked */

int elf_image_pread(struct elf_image *e, uint64_t offset, void *buf, size_t n)
{
	size_t done = 0;

	if (offset > e->size || n > e->size - offset)
		return -EIO;
	if (e->bytes) {
		memcpy(buf, e->bytes + offset, n);
		return 0;
	}
	while (done < n) {
		ssize_t r = pread(e->fd, (char *)buf + done, n - done, (off_t)(offset + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return -EIO;
		done += (size_t)r;
	}
	return 0;
}

int elf_image_pread_string(struct elf_image *e, uint64_t offset, uint64_t end, char *buf,
			   size_t size)
{
	size_t n = size - 1;
	int err;

	if (end > e->size)
		end = e->size;
	if (offset >= end)
		return -ENOENT;
	if (n > end - offset)
		n = (size_t)(end - offset);
	err = elf_image_pread(e, offset, buf, n);
	buf[err ? 0 : n] = '\0';
	return err;
}

void *elf_image_load(struct elf_image *e, uint64_t offset, uint64_t n, uint64_t limit)
{
	char *p;

	if (n > limit || offset > e->size || n > e->size - offset)
		return NULL;
	p = malloc((size_t)n + 1);
	if (!p)
		return NULL;
	if (elf_image_pread(e, offset, p, (size_t)n)) {
		free(p);
		return NULL;
	}
	p[n] = '\0';
	return p;
}

static int elf_read_header(struct elf_image *e)
{
	const uint8_t native =
		__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;

	if (elf_image_pread(e, 0, &e->eh, sizeof(e->eh)))
		return -ENOEXEC;
	if (memcmp(e->eh.e_ident, ELFMAG, SELFMAG) != 0 || e->eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    e->eh.e_ident[EI_DATA] != native)
		return -ENOEXEC;
	return 0;
}

static int elf_read_segments(struct elf_image *e)
{
	uint64_t n = e->eh.e_phnum;

	if (!n || e->eh.e_phentsize != sizeof(Elf64_Phdr))
		return 0;
	if (n > ELF_MAX_SEGMENTS)
		return -ENOEXEC;
	e->segments = elf_image_load(e, e->eh.e_phoff, n * sizeof(Elf64_Phdr), UINT32_MAX);
	if (!e->segments)
		return -ENOEXEC;
	e->nsegments = (uint32_t)n;
	return 0;
}

/* A file without sections is still of use: its segments hold code and unwind tables. */
static void elf_read_sections(struct elf_image *e)
{
	uint64_t n = e->eh.e_shnum, names = e->eh.e_shstrndx;
	Elf64_Shdr first;

	if (!e->eh.e_shoff || e->eh.e_shentsize != sizeof(Elf64_Shdr) ||
	    elf_image_pread(e, e->eh.e_shoff, &first, sizeof(first)))
		return;
	if (!n)
		n = first.sh_size;
	if (names == SHN_XINDEX)
		names = first.sh_link;
	if (!n || n > ELF_MAX_SECTIONS || names >= n)
		return;
	e->sections = elf_image_load(e, e->eh.e_shoff, n * sizeof(Elf64_Shdr), UINT32_MAX);
	if (!e->sections)
		return;
	e->nsections = (uint32_t)n;
	e->section_names = elf_image_load(e, e->sections[names].sh_offset,
					  e->sections[names].sh_size, 1u << 20);
	e->section_names_bytes = e->section_names ? e->sections[names].sh_size : 0;
}

static struct elf_image *elf_image_start(struct elf_image *e, const char *label, int *err)
{
	e->label = strdup(label);
	if (!e->label) {
		*err = -ENOMEM;
		goto fail;
	}
	*err = elf_read_header(e);
	if (*err)
		goto fail;
	*err = elf_read_segments(e);
	if (*err)
		goto fail;
	elf_read_sections(e);
	return e;
fail:
	elf_image_free(e);
	return NULL;
}

struct elf_image *elf_image_open_fd(int fd, const char *label, int *err)
{
	struct elf_image *e = calloc(1, sizeof(*e));
	struct stat st;

	if (!e) {
		close(fd);
		*err = -ENOMEM;
		return NULL;
	}
	e->fd = fd;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		*err = -ENOEXEC;
		elf_image_free(e);
		return NULL;
	}
	e->size = (uint64_t)st.st_size;
	return elf_image_start(e, label, err);
}

struct elf_image *elf_image_open(const char *path, int *err)
{
	/* Nonblocking, so that a FIFO in its place cannot hold us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		*err = -errno;
		return NULL;
	}
	return elf_image_open_fd(fd, path, err);
}

struct elf_image *elf_image_open_memory(const void *bytes, size_t size, const char *label, int *err)
{
	struct elf_image *e = calloc(1, sizeof(*e));
	uint8_t *copy = malloc(size + 1);

	if (!e || !copy) {
		free(e);
		free(copy);
		*err = -ENOMEM;
		return NULL;
	}
	memcpy(copy, bytes, size);
	e->fd = -1;
	e->bytes = copy;
	e->size = size;
	return elf_image_start(e, label, err);
}

void elf_image_free(struct elf_image *e)
{
	if (!e)
		return;
	elf_image_close_info(e);
	if (e->cfi)
		dwarf_cfi_end(e->cfi);
	if (e->dwarf)
		dwarf_end(e->dwarf);
	if (e->elf)
		elf_end(e->elf);
	elf_image_free(e->other);
	for (int i = 0; i < 3; i++)
		free(e->function_names[i]);
	free(e->functions);
	free(e->syms);
	free(e->usdts);
	free(e->usdt_bytes);
	free(e->segments);
	free(e->sections);
	free(e->section_names);
	free(e->label);
	free((void *)e->bytes);
	if (e->fd >= 0)
		close(e->fd);
	free(e);
}

const char *elf_image_label(const struct elf_image *e)
{
	return e->label;
}

const char *elf_image_section_name(struct elf_image *e, const Elf64_Shdr *sh)
{
	return sh->sh_name < e->section_names_bytes ? e->section_names + sh->sh_name : "";
}

const Elf64_Shdr *elf_image_section(struct elf_image *e, const char *name)
{
	for (uint32_t i = 0; i < e->nsections; i++)
		if (!strcmp(elf_image_section_name(e, &e->sections[i]), name))
			return &e->sections[i];
	return NULL;
}

const Elf64_Shdr *elf_image_section_of_type(struct elf_image *e, uint32_t type)
{
	for (uint32_t i = 0; i < e->nsections; i++)
		if (e->sections[i].sh_type == type)
			return &e->sections[i];
	return NULL;
}

int elf_image_offset_of(struct elf_image *e, uint64_t vaddr, uint64_t *offset)
{
	for (uint32_t i = 0; i < e->nsegments; i++) {
		const Elf64_Phdr *ph = &e->segments[i];

		if (ph->p_type == PT_LOAD && vaddr >= ph->p_vaddr &&
		    vaddr - ph->p_vaddr < ph->p_filesz) {
			*offset = ph->p_offset + (vaddr - ph->p_vaddr);
			return 0;
		}
	}
	return -ENOENT;
}

int elf_image_vaddr_of(struct elf_image *e, uint64_t offset, uint64_t *vaddr)
{
	for (uint32_t i = 0; i < e->nsegments; i++) {
		const Elf64_Phdr *ph = &e->segments[i];

		if (ph->p_type == PT_LOAD && offset >= ph->p_offset &&
		    offset - ph->p_offset < ph->p_filesz) {
			*vaddr = ph->p_vaddr + (offset - ph->p_offset);
			return 0;
		}
	}
	return -ENOENT;
}

int elf_image_bias(struct elf_image *e, uint64_t start, uint64_t offset, uint64_t *bias)
{
	/* Segments are mapped in whole pages, so the mapping can begin before the segment does. */
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (uint32_t i = 0; i < e->nsegments; i++) {
		const Elf64_Phdr *ph = &e->segments[i];
		uint64_t first = ph->p_offset & ~(page - 1);

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X) || offset < first ||
		    offset - first >= ph->p_filesz + (ph->p_offset - first))
			continue;
		*bias = start - (ph->p_vaddr + (offset - ph->p_offset));
		return 0;
	}
	return -ENOENT;
}

size_t elf_image_read(struct elf_image *e, uint64_t vaddr, void *buf, size_t n)
{
	for (uint32_t i = 0; i < e->nsegments; i++) {
		const Elf64_Phdr *ph = &e->segments[i];
		uint64_t in = vaddr - ph->p_vaddr;

		if (ph->p_type != PT_LOAD || vaddr < ph->p_vaddr || in >= ph->p_filesz)
			continue;
		if (n > ph->p_filesz - in)
			n = (size_t)(ph->p_filesz - in);
		return elf_image_pread(e, ph->p_offset + in, buf, n) ? 0 : n;
	}
	return 0;
}

bool elf_image_is_go(struct elf_image *e)
{
	return elf_image_section(e, ".go.buildinfo") || elf_image_section(e, ".gopclntab") ||
	       elf_image_section(e, ".note.go.buildid");
}

/* The head of .go.buildinfo: since 1.18 its strings lie in it, bit 1 of byte 15 (debug/buildinfo).
 */
bool elf_image_go_has_registers(struct elf_image *e)
{
	const Elf64_Shdr *section = elf_image_section(e, ".go.buildinfo");
	uint8_t head[16];

	return section && section->sh_size > sizeof(head) &&
	       !elf_image_pread(e, section->sh_offset, head, sizeof(head)) &&
	       !memcmp(head, "\xff Go buildinf:", 14) && (head[15] & 2);
}

int elf_image_machine(struct elf_image *e)
{
	return e->eh.e_machine;
}

/*
 * libdw unpacks every debug section to read one: not for a file whose sections would not fit in
 * the memory that perftop may take.
 */
static bool debug_sections_are_small(struct elf_image *e)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < e->nsections; i++)
		if ((e->sections[i].sh_flags & SHF_COMPRESSED) &&
		    !strncmp(elf_image_section_name(e, &e->sections[i]), ".debug_", 7))
			sum += e->sections[i].sh_size;
	return sum < DEBUG_PACKED_MAX;
}

struct Dwarf_CFI_s *elf_image_cfi(struct elf_image *e)
{
	if (e->cfi_loaded)
		return e->cfi;
	e->cfi_loaded = true;
	elf_version(EV_CURRENT);
	if (e->bytes)
		e->elf = elf_memory((char *)e->bytes, e->size);
	else
		e->elf = elf_begin(e->fd, ELF_C_READ, NULL);
	if (e->elf)
		e->cfi = dwarf_getcfi_elf(e->elf);
	return e->cfi;
}

struct Dwarf_CFI_s *elf_image_debug_cfi(struct elf_image *e)
{
	if (!e->dwarf_loaded) {
		e->dwarf_loaded = true;
		elf_image_cfi(e);
		if (e->elf && elf_image_section(e, ".debug_frame") && debug_sections_are_small(e))
			e->dwarf = dwarf_begin_elf(e->elf, DWARF_C_READ, NULL);
	}
	return e->dwarf ? dwarf_getcfi(e->dwarf) : NULL;
}
