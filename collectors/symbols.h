/* SPDX-License-Identifier: Apache-2.0 */
/* symbols.h: addresses of a live process to names: maps, ELF files, JIT maps, demangling. */
#ifndef PERFTOP_SYMBOLS_H
#define PERFTOP_SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "collectors/elf_image.h"

/*
 * Belongs to one thread. What it keeps is bounded: names of the functions that were looked up
 * (65,536 at most, then "[other]"), 16 bytes a function of each mapped file, none of the files'
 * name tables.
 */
struct symbols;

struct symbol {
	const char *name;   /* demangled, clean of control characters; owned by symbols, stable */
	const char *module; /* file name, "[vdso]", "[jit]", "[kernel]", "[heap]"; owned, stable */
	uint64_t offset;    /* from the symbol's start */
	uint32_t id; /* small integer, the same for the same function: use it as array index */
};

/* A mapped executable range. */
struct symbols_module {
	uint64_t start, end, file_offset;
	uint64_t bias;		 /* address = vaddr + bias */
	char path[256];		 /* as /proc/PID/maps names it, without " (deleted)" */
	char name[64];		 /* of the file; of the program's own, what it was started by */
	struct elf_image *image; /* NULL when it could not be opened; owned */
	uint32_t file;		 /* internal */
};

struct symbols *symbols_new(int pid);
/* Of another process: names, their ids and open files are shared. `other` may be freed first. */
struct symbols *symbols_new_beside(int pid, struct symbols *other);
void symbols_free(struct symbols *s);

/*
 * Read /proc/PID/maps again if it is due: call it once a tick, it is cheap. Files are opened
 * through /proc/PID/map_files, /proc/PID/root or /proc/PID/exe, so deleted binaries and containers
 * work. Returns 0, or -errno when maps cannot be read (-EACCES, -ESRCH); what was known of a
 * process that is gone stays.
 */
int symbols_refresh(struct symbols *s);
void symbols_expect(struct symbols *s); /* have the next refresh read them, due or not */
void symbols_exec(struct symbols *s);	/* the target ran execve: forget every mapping */

/* Never fails: an unknown address gives name "[unknown]" and the module if there is one. */
void symbols_lookup(struct symbols *s, uint64_t addr, struct symbol *out);
/*
 * Ids of the functions at addr, innermost first: those inlined there, named "foo (inlined)", and at
 * last the one that symbols_lookup gives. At least one, at most max.
 */
enum { SYMBOLS_INLINES = 6 };
uint32_t symbols_expand(struct symbols *s, uint64_t addr, uint32_t *ids, uint32_t max);
/* The first call reads /proc/kallsyms: some 100 ms. Names "[kernel]" when that is not allowed. */
void symbols_lookup_kernel(struct symbols *s, uint64_t addr, struct symbol *out);
/* Is that a kernel function which does no more than turn interrupts on again? */
bool symbols_ends_irq_off(const char *name);
void symbols_by_id(struct symbols *s, uint32_t id, struct symbol *out);
/* Place of function `id` in snap->symbols, added if it is not there yet. snap->seq must be set. */
struct snapshot;
uint32_t symbols_snapshot(struct symbols *s, uint32_t id, struct snapshot *snap);
uint32_t symbols_count(const struct symbols *s); /* ids given out so far */

/* Mapping that holds addr, or NULL. Valid until the next refresh. */
const struct symbols_module *symbols_module_at(struct symbols *s, uint64_t addr);
/* All executable mappings, for finding libraries by name. Valid until the next refresh. */
const struct symbols_module *symbols_modules(struct symbols *s, uint32_t *n);
int symbols_pid(const struct symbols *s);
/* Changes whenever the mappings do: what was derived from them is void then. */
uint64_t symbols_generation(const struct symbols *s);

#endif
