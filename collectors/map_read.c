/* SPDX-License-Identifier: Apache-2.0 */
/* map_read.c: reads a hash map in a batch, or key by key. */
#include "collectors/map_read.h"

#include <bpf/bpf.h>
#include <errno.h>

uint32_t map_read(int fd, void *keys, size_t key_size, void *values, size_t value_size,
		  uint32_t max)
{
	uint32_t n = max, batch = 0, have = 0;
	char *key = keys, *value = values, *prev = NULL;

	if (!bpf_map_lookup_batch(fd, NULL, &batch, keys, values, &n, NULL) || errno == ENOENT)
		return n;
	while (have < max && !bpf_map_get_next_key(fd, prev, key + have * key_size)) {
		prev = key + have * key_size;
		if (!bpf_map_lookup_elem(fd, prev, value + have * value_size))
			have++;
	}
	return have;
}
