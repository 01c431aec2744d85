/* SPDX-License-Identifier: Apache-2.0 */
/* symbols.c: addresses of a live process to names. */
#include "collectors/symbols.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/clock.h"
#include "collectors/demangle.h"
#include "collectors/snapshot.h"
#include "collectors/symbols_priv.h"

enum {
	PC_CACHE_SIZE = 8192,
	INLINE_CACHE_SIZE = 4096,
	/* Mappings can change without a lookup that misses, so look this often anyway. */
	REFRESH_TICKS = 8,
	REFRESH_TICKS_MAX = 64,
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

static void shared_put(struct symbols_shared *sh)
{
	if (!sh || --sh->users)
		return;
	files_fini(&sh->files);
	names_fini(&sh->names);
	kernel_symbols_fini(&sh->kernel);
	free(sh->shown);
	free(sh);
}

static struct symbols_shared *shared_new(void)
{
	struct symbols_shared *sh = calloc(1, sizeof(*sh));

	if (sh)
		sh->users = 1;
	if (sh && names_init(&sh->names)) {
		shared_put(sh);
		return NULL;
	}
	return sh;
}

struct symbols *symbols_new_beside(int pid, struct symbols *other)
{
	struct symbols *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->pid = pid;
	jit_init(&s->jit);
	s->shared = other ? other->shared : shared_new();
	if (other)
		s->shared->users++;
	if (!s->shared) {
		symbols_free(s);
		return NULL;
	}
	return s;
}

struct symbols *symbols_new(int pid)
{
	return symbols_new_beside(pid, NULL);
}

static void modules_drop(struct symbols *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		files_put(&s->shared->files, s->modules[i].file);
	s->n = 0;
}

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	modules_drop(s);
	shared_put(s->shared);
	jit_fini(&s->jit);
	free(s->modules);
	free(s->inlines);
	free(s);
}

/* ---- mappings ------------------------------------------------------------------------------- */

struct refresh {
	struct symbols *s;
	uint64_t hash;
	uint32_t lines;
	bool store; /* second pass: the mappings differ from those known */
};

static uint64_t hash_more(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

static void module_store(struct symbols *s, const struct maps_line *l)
{
	struct symbols_module *m;

	if (s->n == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 32;

		m = realloc(s->modules, cap * sizeof(*m));
		if (!m)
			return;
		s->modules = m;
		s->cap = cap;
	}
	m = &s->modules[s->n];
	memset(m, 0, sizeof(*m));
	m->start = l->start;
	m->end = l->end;
	m->file_offset = l->offset;
	snapshot_string(m->path, sizeof(m->path), l->path);
	m->file = files_get(&s->shared->files, s->pid, l);
	if (m->file == UINT32_MAX)
		return;
	m->image = s->shared->files.v[m->file].image;
	if (m->image && elf_image_bias(m->image, l->start, l->offset, &m->bias))
		m->image = NULL;
	if (!m->image)
		m->bias = l->start - l->offset;
	s->has_jit |= !m->image;
	s->n++;
}

static void refresh_line(void *ctx, const struct maps_line *l)
{
	struct refresh *r = ctx;

	if (!l->exec || !strcmp(l->path, "[vsyscall]"))
		return;
	r->lines++;
	if (r->store) {
		module_store(r->s, l);
		return;
	}
	r->hash = hash_more(hash_more(r->hash, l->start), l->end);
	r->hash = hash_more(hash_more(r->hash, l->inode), l->offset);
}

/*
 * How long to leave maps alone: longer for a process whose maps take long to read, and longer each
 * time that a miss led to a reading in vain.
 */
static void refresh_schedule(struct symbols *s, uint64_t cost_ns, bool changed, bool missed)
{
	uint64_t wait = REFRESH_TICKS + cost_ns / 500000;

	s->wait = wait < REFRESH_TICKS_MAX ? (uint32_t)wait : REFRESH_TICKS_MAX;
	if (changed)
		s->miss_wait = 1;
	else if (missed && s->miss_wait < REFRESH_TICKS)
		s->miss_wait *= 2;
}

static void cache_clear(struct symbols *s)
{
	/* Many of the processes watched together are never sampled: their pages stay untouched. */
	if (s->cached)
		memset(s->cache, 0, sizeof(s->cache));
	if (s->inlines)
		memset(s->inlines, 0, INLINE_CACHE_SIZE * sizeof(*s->inlines));
	s->cached = false;
}

/* The old ones are let go last: a file that stays mapped is not opened again. */
static void modules_replace(struct symbols *s)
{
	struct refresh r = {.s = s, .store = true};
	struct symbols_module *old = s->modules;
	uint32_t nold = s->n;

	s->modules = NULL;
	s->n = s->cap = 0;
	s->has_jit = false;
	maps_read(s->pid, refresh_line, &r);
	for (uint32_t i = 0; i < nold; i++)
		files_put(&s->shared->files, old[i].file);
	free(old);
	s->generation++;
	cache_clear(s);
}

int symbols_refresh(struct symbols *s)
{
	struct refresh r = {.s = s};
	bool due, missed = s->missed;
	bool changed;
	uint64_t begin;
	int err;

	if (s->has_jit && s->jit_missed && jit_refresh(&s->jit, s->pid))
		cache_clear(s);
	s->jit_missed = false;
	s->ticks++;
	due = !s->loaded || s->ticks >= s->wait || (missed && s->ticks >= s->miss_wait);
	if (!due)
		return 0;
	begin = clock_mono_ns();
	err = maps_read(s->pid, refresh_line, &r);
	s->missed = false;
	s->ticks = 0;
	/* A process that is ending has no mappings: keep what was known of it. */
	if (err || (!r.lines && s->loaded))
		return err ? err : -ESRCH;
	changed = !s->loaded || r.hash != s->maps_hash;
	s->maps_hash = r.hash;
	if (changed)
		modules_replace(s);
	if (changed && s->has_jit && jit_refresh(&s->jit, s->pid))
		cache_clear(s);
	s->loaded = true;
	refresh_schedule(s, clock_mono_ns() - begin, changed, missed);
	return 0;
}

void symbols_expect(struct symbols *s)
{
	s->ticks = s->wait;
}

void symbols_exec(struct symbols *s)
{
	modules_drop(s);
	s->loaded = false;
	s->missed = false;
	s->has_jit = false;
	s->generation++;
	jit_fini(&s->jit);
	cache_clear(s);
}

const struct symbols_module *symbols_module_at(struct symbols *s, uint64_t addr)
{
	uint32_t lo = 0, hi = s->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (s->modules[mid].start <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && addr < s->modules[lo - 1].end ? &s->modules[lo - 1] : NULL;
}

const struct symbols_module *symbols_modules(struct symbols *s, uint32_t *n)
{
	*n = s->n;
	return s->modules;
}

uint64_t symbols_generation(const struct symbols *s)
{
	return s->generation;
}

void symbols_note_miss(struct symbols *s)
{
	s->missed = true;
}

/* ---- names ---------------------------------------------------------------------------------- */

static const char *module_name(const struct symbols_module *m)
{
	const char *slash = strrchr(m->path, '/');

	if (!m->path[0])
		return "[anon]";
	return slash && slash[1] ? slash + 1 : m->path;
}

/* A name for what lies in a mapping of which no more is known. */
static uint32_t resolve_unknown(struct symbols *s, const struct symbols_module *m)
{
	const char *name = module_name(m);
	uint64_t key = 0;
	int64_t id;

	for (const char *p = name; *p; p++)
		key = hash_more(key, (unsigned char)*p);
	id = names_find(&s->shared->names, SPACE_MODULE, key);
	return id >= 0 ? (uint32_t)id
		       : names_add(&s->shared->names, SPACE_MODULE, key, "[unknown]", name);
}

static uint32_t resolve_jit(struct symbols *s, const struct symbols_module *m, uint64_t addr,
			    uint64_t *start)
{
	const struct jit_entry *e = jit_find(&s->jit, addr);
	char raw[NAME_BYTES];
	uint64_t key;
	int64_t id;

	if (!e) {
		s->jit_missed = true;
		*start = m->start;
		return resolve_unknown(s, m);
	}
	*start = e->start;
	/* Its place in the file tells functions apart that lived at one address in turn. */
	key = hash_more(hash_more(e->start, e->name), (uint64_t)s->pid);
	id = names_find(&s->shared->names, SPACE_JIT, key);
	if (id >= 0)
		return (uint32_t)id;
	jit_name(&s->jit, e, raw, sizeof(raw));
	return names_add(&s->shared->names, SPACE_JIT, key, raw, "[jit]");
}

static uint32_t resolve_file(struct symbols *s, const struct symbols_module *m, uint64_t addr,
			     uint64_t *start)
{
	uint64_t space = s->shared->files.v[m->file].space;
	char raw[2048], name[NAME_BYTES];
	struct elf_hit hit;
	int64_t id;

	if (elf_image_find(m->image, addr - m->bias, &hit)) {
		*start = m->start;
		return resolve_unknown(s, m);
	}
	*start = hit.start + m->bias;
	id = names_find(&s->shared->names, space, hit.start);
	if (id >= 0)
		return (uint32_t)id;
	if (elf_image_name(m->image, &hit, raw, sizeof(raw)) || !raw[0])
		return resolve_unknown(s, m);
	demangle_name(raw, name, sizeof(name));
	return names_add(&s->shared->names, space, hit.start, name, module_name(m));
}

static void symbol_fill(const struct symbols *s, uint32_t id, uint64_t offset, struct symbol *out)
{
	out->name = s->shared->names.records[id].name;
	out->module = s->shared->names.records[id].module;
	out->offset = offset;
	out->id = id;
}

static uint32_t pc_hash(uint64_t addr)
{
	return (uint32_t)((addr * 0x9e3779b97f4a7c15ull) >> 40);
}

void symbols_lookup(struct symbols *s, uint64_t addr, struct symbol *out)
{
	struct pc_slot *slot = &s->cache[pc_hash(addr) % PC_CACHE_SIZE];
	const struct symbols_module *m;
	uint64_t start = addr;
	uint32_t id = NAME_UNKNOWN;

	if (slot->addr == addr && addr) {
		symbol_fill(s, slot->id, slot->offset, out);
		return;
	}
	m = symbols_module_at(s, addr);
	if (!m)
		s->missed = true;
	else if (m->image)
		id = resolve_file(s, m, addr, &start);
	else
		id = resolve_jit(s, m, addr, &start);
	s->cached = true;
	/* What is unknown now can be known after the next refresh, and is worth a try then. */
	*slot = (struct pc_slot){
		.addr = m ? addr : 0,
		.id = id,
		.offset = addr - start < UINT32_MAX ? (uint32_t)(addr - start) : UINT32_MAX,
	};
	symbol_fill(s, id, addr - start, out);
}

/* Inlined at many places a function is one all the same: it is known by its name. */
static uint32_t resolve_inline(struct symbols *s, const struct symbols_module *m, const char *raw)
{
	uint64_t space = s->shared->files.v[m->file].space ^ SPACE_INLINE, key = 0;
	char name[NAME_BYTES], plain[NAME_BYTES - 16];
	int64_t id;

	for (const char *p = raw; *p; p++)
		key = hash_more(key, (unsigned char)*p);
	id = names_find(&s->shared->names, space, key);
	if (id >= 0)
		return (uint32_t)id;
	demangle_name(raw, plain, sizeof(plain));
	snprintf(name, sizeof(name), "%s (inlined)", plain);
	return names_add(&s->shared->names, space, key, name, module_name(m));
}

static void find_inlines(struct symbols *s, uint64_t addr, struct inline_slot *slot)
{
	const struct symbols_module *m = symbols_module_at(s, addr);
	struct elf_inline at[SYMBOLS_INLINES];

	slot->addr = addr;
	slot->n = m && m->image ? elf_image_inlines(m->image, addr - m->bias, at, SYMBOLS_INLINES)
				: 0;
	for (uint32_t i = 0; i < slot->n; i++)
		slot->ids[i] = resolve_inline(s, m, at[i].name);
}

static struct inline_slot *inlines_at(struct symbols *s, uint64_t addr)
{
	const struct symbols_module *m;
	struct inline_slot *slot;

	if (!s->inlines) {
		m = symbols_module_at(s, addr);
		if (!m || !m->image || !elf_image_has_inlines(m->image))
			return NULL;
		s->inlines = calloc(INLINE_CACHE_SIZE, sizeof(*s->inlines));
		if (!s->inlines)
			return NULL;
	}
	slot = &s->inlines[pc_hash(addr) % INLINE_CACHE_SIZE];
	if (slot->addr != addr)
		find_inlines(s, addr, slot);
	return slot;
}

uint32_t symbols_expand(struct symbols *s, uint64_t addr, uint32_t *ids, uint32_t max)
{
	const struct inline_slot *slot = addr ? inlines_at(s, addr) : NULL;
	struct symbol sym;
	uint32_t n = 0;

	while (slot && n < slot->n && n + 1 < max) {
		ids[n] = slot->ids[n];
		n++;
	}
	symbols_lookup(s, addr, &sym);
	ids[n++] = sym.id;
	return n;
}

void symbols_lookup_kernel(struct symbols *s, uint64_t addr, struct symbol *out)
{
	struct pc_slot *slot = &s->shared->kernel_cache[pc_hash(addr) % (PC_CACHE_SIZE / 4)];
	char name[NAME_BYTES], module[64];
	uint64_t start = 0;
	int64_t id;

	if (slot->addr == addr && addr) {
		symbol_fill(s, slot->id, slot->offset, out);
		return;
	}
	if (!kernel_symbols_find(&s->shared->kernel, addr, &start, name, sizeof(name), module,
				 sizeof(module))) {
		strcpy(name, "[kernel]");
		strcpy(module, "[kernel]");
		start = 0;
	}
	id = names_find(&s->shared->names, SPACE_KERNEL, start);
	if (id < 0)
		id = names_add(&s->shared->names, SPACE_KERNEL, start, name, module);
	*slot = (struct pc_slot){
		.addr = addr,
		.id = (uint32_t)id,
		.offset = start ? (uint32_t)(addr - start) : 0,
	};
	symbol_fill(s, (uint32_t)id, slot->offset, out);
}

void symbols_by_id(struct symbols *s, uint32_t id, struct symbol *out)
{
	symbol_fill(s, id < s->shared->names.n ? id : NAME_UNKNOWN, 0, out);
}

static bool reserve_shown(struct symbols *s, uint32_t n)
{
	uint32_t cap = n + n / 2;
	struct shown_slot *v = realloc(s->shared->shown, cap * sizeof(*v));

	if (!v)
		return false;
	memset(v + s->shared->nshown, 0, (cap - s->shared->nshown) * sizeof(*v));
	s->shared->shown = v;
	s->shared->nshown = cap;
	return true;
}

uint32_t symbols_snapshot(struct symbols *s, uint32_t id, struct snapshot *snap)
{
	struct symbol sym;

	symbols_by_id(s, id, &sym);
	if (sym.id >= s->shared->nshown && !reserve_shown(s, s->shared->names.n))
		return snapshot_symbol(snap, sym.name, sym.module);
	if (s->shared->shown[sym.id].seq != snap->seq) {
		s->shared->shown[sym.id].index = snapshot_add_symbol(snap, sym.name, sym.module);
		s->shared->shown[sym.id].seq = snap->seq;
	}
	return s->shared->shown[sym.id].index;
}

uint32_t symbols_count(const struct symbols *s)
{
	return s->shared->names.n;
}
