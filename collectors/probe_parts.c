/* SPDX-License-Identifier: Apache-2.0 */
/* probe_parts.c: out-of-line parts of a function in files that have no names for them. */
#include "collectors/probe_parts.h"

#include <elf.h>
#include <string.h>

#include "collectors/insn_x86.h"
#include "collectors/name_words.h"
#include "collectors/unwind_row.h"

/* Where a return address is when a function begins: x86-64 psABI, figure 3.3. */
enum { ENTRY_CFA = 8 };

/* Does code begin there whose caller has a frame already? */
static bool begins_within_frame(struct elf_image *image, uint64_t vaddr)
{
	struct unwind_row row;
	struct unwind_signal signal;

	unwind_row_read(elf_image_cfi(image), vaddr, &row, &signal);
	if (row.kind != ROW_FRAME)
		return row.kind == ROW_FRAME_DEREF;
	return row.cfa_reg != REG_SP || row.offset != ENTRY_CFA;
}

/* The nameless range around a target that is such a part. */
static bool find_part(struct elf_image *image, uint64_t target, struct elf_hit *hit)
{
	char name[8];

	return !elf_image_find(image, target, hit) && hit->size &&
	       !elf_image_name(image, hit, name, sizeof(name)) && name_is_made_up(name) &&
	       begins_within_frame(image, hit->start);
}

void probe_parts_unnamed(struct elf_image *image, struct place_code *parts, uint32_t *n,
			 uint32_t max, uint8_t *code, size_t room)
{
	if (elf_image_machine(image) != EM_X86_64 || !elf_image_cfi(image))
		return;
	for (uint32_t i = 0; i < *n; i++) {
		const struct place_code p = parts[i];
		struct insn insn;

		for (size_t at = 0; at < p.size && *n < max; at += insn.len) {
			struct elf_hit hit;
			uint64_t target;

			if (insn_x86_decode(p.bytes + at, p.size - at, &insn) < 0)
				break;
			target = p.vaddr + at + insn.len + (uint64_t)insn.rel;
			if (!insn.has_target || insn.kind == INSN_CALL ||
			    place_has(parts, *n, target) || !find_part(image, target, &hit) ||
			    hit.size > room)
				continue;
			parts[*n] = (struct place_code){
				.vaddr = hit.start,
				.bytes = code,
				.size = elf_image_read(image, hit.start, code, hit.size),
			};
			code += parts[*n].size;
			room -= parts[*n].size;
			++*n;
		}
	}
}
