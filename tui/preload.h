/* SPDX-License-Identifier: Apache-2.0 */
/* preload.h: the libraries that run in a program, and putting them before a launched command. */
#ifndef PERFTOP_PRELOAD_H
#define PERFTOP_PRELOAD_H

#include <stddef.h>

#define PRELOAD_HEAP  "libperftop_heap.so"
#define PRELOAD_CALLS "libperftop_calls.so"

/*
 * Path of a library: beside this program, or in ../lib of it, as installed. 0, or -ENOENT with a
 * sentence in why, which names the option that needs it.
 */
int preload_find(const char *library, const char *option, char *path, size_t size, char *why,
		 size_t why_size);

/*
 * From here on, programs that this process starts have it preloaded, before what LD_PRELOAD names
 * already. 0 or -errno.
 */
int preload_begin(const char *path);
/* No longer: LD_PRELOAD is as it was before the last begin. */
void preload_end(void);

#endif
