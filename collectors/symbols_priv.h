/* SPDX-License-Identifier: Apache-2.0 */
/* symbols_priv.h: the parts that symbols.c is put together from. */
#ifndef PERFTOP_SYMBOLS_PRIV_H
#define PERFTOP_SYMBOLS_PRIV_H

#include <stdbool.h>
#include <sys/types.h>

#include "collectors/maps.h"
#include "collectors/symbols.h"

/* ---- names: strings that stay where they are, and dense ids. symbols_names.c ---------------- */

enum {
	NAMES_MAX = 65536,
	NAME_BYTES = 512, /* of one name, with its NUL */
	NAME_UNKNOWN = 0, /* id of "[unknown]" without a module */
	NAME_OTHER = 1,	  /* id of all that did not fit */
};

struct name_record {
	const char *name, *module;
	uint64_t space, start; /* which file or table, and the function's start in it */
};

struct names {
	struct name_record *records;
	uint32_t n, cap;
	uint32_t *hash; /* of record ids + 1, open addressing, a power of two long */
	uint32_t hash_size;
	struct name_chunk *chunks;
};

int names_init(struct names *t);
void names_fini(struct names *t);
/* Id of (space, start), or -ENOENT. */
int64_t names_find(const struct names *t, uint64_t space, uint64_t start);
/* Add it; name and module are cleaned and copied. NAME_OTHER when full or out of memory. */
uint32_t names_add(struct names *t, uint64_t space, uint64_t start, const char *name,
		   const char *module);

/* ---- files: images by device and inode. symbols_files.c ------------------------------------- */

struct file_entry {
	uint64_t dev, inode; /* as in maps; the vdso has inode 0 and its address as device */
	struct elf_image *image;
	uint64_t space; /* names the file's functions, the same while the file is the same */
	uint32_t users; /* mappings; 0: the slot is free */
};

struct files {
	struct file_entry *v;
	uint32_t n, cap;
};

void files_fini(struct files *f);
/* Index of the entry for a mapping, opened if new; UINT32_MAX without memory. */
uint32_t files_get(struct files *f, int pid, const struct maps_line *line);
/* One mapping less; the last one closes the file. */
void files_put(struct files *f, uint32_t i);
/* Open a path as the target sees it; symlinks stay inside its root. An fd, or -errno. */
int files_open_in_root(int pid, const char *path);

/* ---- JIT: /tmp/perf-PID.map. symbols_jit.c -------------------------------------------------- */

struct jit_entry {
	uint64_t start;
	uint32_t size;
	uint32_t name; /* offset in the file */
};

struct jit {
	int fd; /* -1: none */
	ino_t inode;
	uint64_t parsed; /* bytes */
	struct jit_entry *v;
	uint32_t n, cap;
};

void jit_init(struct jit *j);
void jit_fini(struct jit *j);
/* Read what was appended since the last call. True when there are new entries. */
bool jit_refresh(struct jit *j, int pid);
/* Entry that holds addr, the newest if several do; NULL. */
const struct jit_entry *jit_find(const struct jit *j, uint64_t addr);
void jit_name(const struct jit *j, const struct jit_entry *e, char *buf, size_t size);

/* An address lay in no mapping: have maps read again soon. symbols.c */
void symbols_note_miss(struct symbols *s);

/* ---- kernel: /proc/kallsyms. symbols_kernel.c ----------------------------------------------- */

struct kernel_entry {
	uint64_t addr;
	uint32_t name; /* offset in names */
};

struct kernel_symbols {
	bool loaded;
	struct kernel_entry *v;
	uint32_t n, cap;
	char *names; /* "name" or "name\tmodule", NUL-terminated */
	uint32_t names_bytes, names_cap;
};

void kernel_symbols_fini(struct kernel_symbols *k);
/* Loads at the first call. False when the symbols may not be read or addr is below all. */
bool kernel_symbols_find(struct kernel_symbols *k, uint64_t addr, uint64_t *start, char *name,
			 size_t name_size, char *module, size_t module_size);

/* ---- symbols.c and symbols_lookup.c ---- */

enum {
	PC_CACHE_SIZE = 8192,
	INLINE_CACHE_SIZE = 4096,
};

/* Where a name comes from; files have spaces of their own, with the top bit set. */
enum name_space { SPACE_MODULE = 1, SPACE_JIT, SPACE_KERNEL, SPACE_INLINE };

struct pc_slot {
	uint64_t addr;
	uint32_t id, offset;
};

/* Where a function's name is among the symbols of the snapshot that is being filled. */
struct shown_slot {
	uint64_t seq; /* of that snapshot */
	uint32_t index;
};

struct inline_slot {
	uint64_t addr;
	uint32_t n;
	uint32_t ids[SYMBOLS_INLINES];
};

/* What the symbols of several processes have in common: ids are those of all of them. */
struct symbols_shared {
	uint32_t users;
	struct files files;
	struct names names;
	struct kernel_symbols kernel;
	struct pc_slot kernel_cache[PC_CACHE_SIZE / 4];
	struct shown_slot *shown; /* by id */
	uint32_t nshown;
};

struct symbols {
	int pid;
	struct symbols_shared *shared;
	struct symbols_module *modules;
	uint32_t n, cap;
	uint64_t maps_hash, generation;
	bool loaded, missed, jit_missed, has_jit;
	uint32_t ticks;		     /* refreshes since maps was read */
	uint32_t wait, miss_wait;    /* how many to let pass, and how many after a lookup missed */
	bool cached;		     /* the cache holds something */
	struct inline_slot *inlines; /* INLINE_CACHE_SIZE, when a mapped file tells of any */

	struct jit jit;
	struct pc_slot cache[PC_CACHE_SIZE];
};

static inline uint64_t symbols_hash(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

#endif
