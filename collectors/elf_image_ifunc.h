/* SPDX-License-Identifier: Apache-2.0 */
/* elf_image_ifunc.h: which functions of a file are resolvers, whose code is chosen at run time. */
#ifndef PERFTOP_ELF_IMAGE_IFUNC_H
#define PERFTOP_ELF_IMAGE_IFUNC_H

#include <stdint.h>

struct elf_image;

/* vaddrs of STT_GNU_IFUNC symbols, at most max, unsorted. Returns how many, or -errno. */
int elf_image_ifuncs(struct elf_image *e, uint64_t *out, uint32_t max);

#endif
