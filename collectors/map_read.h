/* SPDX-License-Identifier: Apache-2.0 */
/* map_read.h: a whole hash map of the eBPF programs, read in one call where the kernel can. */
#ifndef PERFTOP_MAP_READ_H
#define PERFTOP_MAP_READ_H

#include <stddef.h>
#include <stdint.h>

/*
 * keys, values: room for max of each, filled in the same order. Returns how many there were; one
 * that is removed meanwhile may be missing.
 */
uint32_t map_read(int fd, void *keys, size_t key_size, void *values, size_t value_size,
		  uint32_t max);

#endif
