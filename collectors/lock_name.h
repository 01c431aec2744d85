/* SPDX-License-Identifier: Apache-2.0 */
/* lock_name.h: what lies at an address of the target's data. */
#ifndef PERFTOP_LOCK_NAME_H
#define PERFTOP_LOCK_NAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/snapshot.h"
#include "collectors/symbols.h"

struct threads;

/*
 * "cache_lock", "stats+16" for a variable, else what kind of memory it is: "heap", "stack of
 * NAME/TID", "shared /dev/shm/x", "data of prog". Reads maps and perhaps a symbol table: ask once
 * an address. "" when it lies in no mapping.
 */
void lock_name_find(struct symbols *syms, pid_t pid, const struct threads *t, uint64_t addr,
		    char *out, size_t size);

/*
 * "cache_lock"; its address where it shares its name with all of the heap; "" for a lock that has
 * none of its own.
 */
void lock_name_plain(const struct snap_lock *l, char *out, size_t size);
/* The same after its kind: "mutex cache_lock". */
void lock_name_words(const struct snap_lock *l, char *out, size_t size);
/* Who waits there: "cache_get via uv_mutex_lock", or the one of both that is known. */
void lock_name_site(const char *site, const char *via, char *out, size_t size);

#endif
