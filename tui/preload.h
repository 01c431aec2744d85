/* SPDX-License-Identifier: Apache-2.0 */
/* preload.h: the heap sampler's library, and putting it before a launched command. */
#ifndef PERFTOP_PRELOAD_H
#define PERFTOP_PRELOAD_H

#include <stddef.h>

/*
 * Path of libperftop_heap.so: beside this program, or in ../lib of it, as installed. 0, or -ENOENT
 * with a sentence in why.
 */
int preload_find(char *path, size_t size, char *why, size_t why_size);

/*
 * From here on, programs that this process starts have it preloaded, before what LD_PRELOAD names
 * already. 0 or -errno.
 */
int preload_begin(const char *path);
/* No longer: LD_PRELOAD is as it was. */
void preload_end(void);

#endif
