/* SPDX-License-Identifier: Apache-2.0 */
/* symbols_lookup.c: addresses to names, and names to the snapshot. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/demangle.h"
#include "collectors/snapshot.h"
#include "collectors/symbols_priv.h"

/* ---- names ---------------------------------------------------------------------------------- */

/* A name for what lies in a mapping of which no more is known. */
static uint32_t resolve_unknown(struct symbols *s, const struct symbols_module *m)
{
	const char *name = m->name;
	uint64_t key = 0;
	int64_t id;

	for (const char *p = name; *p; p++)
		key = symbols_hash(key, (unsigned char)*p);
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
	key = symbols_hash(symbols_hash(e->start, e->name), (uint64_t)s->pid);
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
	return names_add(&s->shared->names, space, hit.start, name, m->name);
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
		key = symbols_hash(key, (unsigned char)*p);
	id = names_find(&s->shared->names, space, key);
	if (id >= 0)
		return (uint32_t)id;
	demangle_name(raw, plain, sizeof(plain));
	snprintf(name, sizeof(name), "%s (inlined)", plain);
	return names_add(&s->shared->names, space, key, name, m->name);
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
