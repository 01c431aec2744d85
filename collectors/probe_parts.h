/* SPDX-License-Identifier: Apache-2.0 */
/* probe_parts.h: out-of-line parts of a function in files that have no names for them. */
#ifndef PERFTOP_PROBE_PARTS_H
#define PERFTOP_PROBE_PARTS_H

#include "collectors/elf_image.h"
#include "collectors/place.h"

/*
 * Compilers move what is hardly ever run out of a function, to NAME.cold; stripped, such a part is
 * a range of the unwind tables that some jump of the function leads into. It is told from another
 * function by its frame, which is not that of an entry. Adds to parts[*n), up to max, with code
 * read into room bytes at code.
 */
void probe_parts_unnamed(struct elf_image *image, struct place_code *parts, uint32_t *n,
			 uint32_t max, uint8_t *code, size_t room);

#endif
