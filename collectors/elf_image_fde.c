/* SPDX-License-Identifier: Apache-2.0 */
/* elf_image_fde.c: function bounds from .eh_frame_hdr, for files without symbols. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/elf_image_priv.h"

/*
 * Layout of .eh_frame_hdr: version, three encodings, the address of .eh_frame, the number of
 * FDEs, then pairs of (first address of the function, address of its FDE), sorted. Linkers write
 * the encodings below and no others.
 * https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/ehframechpt.html
 */
enum { PE_UDATA4 = 0x03, PE_PCREL_SDATA4 = 0x1b, PE_DATAREL_SDATA4 = 0x3b };

struct hdr_row {
	int32_t start, fde; /* relative to the header */
};

/* FDEs lie nearly in the order of their functions: they are read by the piece. */
enum { PIECE = 32768, PIECE_BEFORE = 8192 };

struct fde_piece {
	uint64_t vaddr, left; /* bytes that may still be read: a file can be made to jump about */
	size_t n;
	uint8_t bytes[PIECE];
};

static bool piece_has(const struct fde_piece *p, uint64_t vaddr, size_t n)
{
	return vaddr >= p->vaddr && vaddr - p->vaddr <= p->n && n <= p->n - (vaddr - p->vaddr);
}

static void piece_take(struct elf_image *e, struct fde_piece *p, uint64_t vaddr)
{
	p->vaddr = vaddr;
	p->n = p->left ? elf_image_read(e, vaddr, p->bytes, sizeof(p->bytes)) : 0;
	p->left -= p->n < p->left ? p->n : p->left;
}

static bool piece_read(struct elf_image *e, struct fde_piece *p, uint64_t vaddr, void *buf,
		       size_t n)
{
	if (!piece_has(p, vaddr, n) && vaddr > PIECE_BEFORE)
		piece_take(e, p, vaddr - PIECE_BEFORE);
	if (!piece_has(p, vaddr, n)) /* near the beginning of its segment */
		piece_take(e, p, vaddr);
	if (!piece_has(p, vaddr, n))
		return false;
	memcpy(buf, p->bytes + (vaddr - p->vaddr), n);
	return true;
}

/*
 * Length of the function, from its FDE: length, CIE pointer, first address, length of the range.
 * 0 when the FDE does not lead back to `start`, so that its encoding cannot be the common one.
 */
static uint32_t fde_range(struct elf_image *e, struct fde_piece *piece, uint64_t fde,
			  uint64_t start)
{
	struct {
		uint32_t length, cie;
		int32_t start;
		uint32_t range;
	} h;

	if (!piece_read(e, piece, fde, &h, sizeof(h)) || h.length == UINT32_MAX)
		return 0;
	if (fde + 8 + (uint64_t)(int64_t)h.start != start)
		return 0;
	return h.range;
}

static uint32_t fdes_append(struct elf_image *e, uint64_t base, const struct hdr_row *rows,
			    uint32_t n, struct fde_piece *piece, struct elf_sym *out)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t start = base + (uint64_t)(int64_t)rows[i].start, offset;
		uint64_t fde = base + (uint64_t)(int64_t)rows[i].fde;
		uint32_t size = fde_range(e, piece, fde, start);

		if (elf_image_offset_of(e, start, &offset))
			continue;
		if (kept && start <= out[kept - 1].vaddr)
			continue;
		out[kept++] = (struct elf_sym){
			.vaddr = start,
			.size = size < (1u << 28) ? size : 0,
			.names = ELF_NAMES_FDE,
		};
	}
	return kept;
}

int elf_image_load_fdes(struct elf_image *e, struct elf_sym **out, uint32_t *n)
{
	const Elf64_Phdr *ph = NULL;
	struct fde_piece *piece;
	struct hdr_row *rows;
	struct {
		uint8_t version, frame_enc, count_enc, table_enc;
		int32_t frame;
		uint32_t count;
	} h;

	*out = NULL;
	*n = 0;
	for (uint32_t i = 0; i < e->nsegments; i++)
		if (e->segments[i].p_type == PT_GNU_EH_FRAME)
			ph = &e->segments[i];
	if (!ph || ph->p_filesz < sizeof(h) || elf_image_pread(e, ph->p_offset, &h, sizeof(h)))
		return -ENOENT;
	if (h.version != 1 || h.frame_enc != PE_PCREL_SDATA4 || h.count_enc != PE_UDATA4 ||
	    h.table_enc != PE_DATAREL_SDATA4)
		return -ENOENT;
	if (h.count > (ph->p_filesz - sizeof(h)) / sizeof(*rows))
		h.count = (uint32_t)((ph->p_filesz - sizeof(h)) / sizeof(*rows));
	if (h.count > ELF_MAX_SYMBOLS || !h.count)
		return -ENOENT;
	rows = elf_image_load(e, ph->p_offset + sizeof(h), (uint64_t)h.count * sizeof(*rows),
			      UINT32_MAX);
	if (!rows)
		return -ENOENT;
	*out = malloc(h.count * sizeof(**out));
	piece = malloc(sizeof(*piece));
	if (*out && piece) {
		piece->n = 0;
		piece->left = 4 * e->size;
		*n = fdes_append(e, ph->p_vaddr, rows, h.count, piece, *out);
	}
	free(piece);
	free(rows);
	return *out ? 0 : -ENOMEM;
}
