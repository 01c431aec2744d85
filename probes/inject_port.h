/* SPDX-License-Identifier: Apache-2.0 */
/* inject_port.h: what a library exports to be hooked into a process that runs already. */
#ifndef PERFTOP_INJECT_PORT_H
#define PERFTOP_INJECT_PORT_H

#include <stdint.h>

/*
 * The symbols of a running process are bound, so a library that is loaded then replaces nothing by
 * its names. perftop finds the object INJECT_PORT_SYMBOL in it and points the GOT slots of all
 * other modules (jump slots, and relocated words that hold the function's address) at the hooks.
 *
 * The library
 * - defines `struct inject_port perftop_heap_port`, exported, in writable data, with version, size,
 *   nhooks, and for each row the name of the symbol and the address of its replacement, which must
 *   be named perftop_heap_hook_malloc and so on when it is not the exported name itself;
 * - calls the functions that it replaces through `original` of the row, which is written before the
 *   first slot is patched, and not through dlsym(RTLD_NEXT): for a library that was loaded late
 * that finds glibc's malloc in a program that uses jemalloc;
 * - was preloaded, and not loaded late, exactly when dlsym() finds this object through
 * dlopen(NULL);
 * - passes calls straight through while `active` is 0: a program may have copied a hook's address
 *   out of a slot, so hooks are called after the slots were restored too, and the library is never
 *   unmapped;
 * - expects frees of memory that it never saw allocated;
 * - keeps static thread-local storage (initial-exec) below 512 bytes, for glibc has some 1,600 to
 *   spare for all libraries that are loaded late;
 * - may export `int perftop_heap_inject(void)`, which is called once, in the thread that loaded it,
 *   after its constructors and outside the loader's lock, with signals blocked. That thread stands
 *   still meanwhile: be done in 100 us. It leaves 0 or -errno in `error`; an error undoes the load.
 */
#define INJECT_PORT_SYMBOL "perftop_heap_port"
#define INJECT_INIT_SYMBOL "perftop_heap_inject"

enum { INJECT_PORT_VERSION = 1, INJECT_PORT_HOOKS = 32, INJECT_PORT_NAME = 48 };

struct inject_hook {
	char name[INJECT_PORT_NAME]; /* of the symbol that is replaced: "malloc" */
	void *hook;
	void *original; /* written by perftop; NULL when the process has no such symbol */
};

struct inject_port {
	uint32_t version; /* INJECT_PORT_VERSION */
	uint32_t size;	  /* sizeof(struct inject_port) */
	uint32_t nhooks;
	uint32_t active; /* written by perftop */
	int32_t error;
	uint32_t reserved;
	struct inject_hook hooks[INJECT_PORT_HOOKS];
};

#endif
