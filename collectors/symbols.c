/* SPDX-License-Identifier: Apache-2.0 */
/* symbols.c: the mappings of a live process, and the files behind them. */
#include "collectors/symbols.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/clock.h"
#include "collectors/exec_name.h"
#include "collectors/name_words.h"
#include "collectors/snapshot.h"
#include "collectors/symbols_priv.h"

enum {
	/* Mappings can change without a lookup that misses, so look this often anyway. */
	REFRESH_TICKS = 8,
	REFRESH_TICKS_MAX = 64,
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
	bool store;			   /* second pass: the mappings differ from those known */
	char program[256], started_by[64]; /* see exec_name() */
};

static void name_module(struct symbols_module *m, const struct refresh *r)
{
	const char *file = name_of_path(m->path);

	if (r->started_by[0] && !strcmp(m->path, r->program))
		file = r->started_by;
	snapshot_string(m->name, sizeof(m->name), file[0] ? file : "[anon]");
}

static void module_store(const struct refresh *r, const struct maps_line *l)
{
	struct symbols *s = r->s;
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
	name_module(m, r);
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
		module_store(r, l);
		return;
	}
	r->hash = symbols_hash(symbols_hash(r->hash, l->start), l->end);
	r->hash = symbols_hash(symbols_hash(r->hash, l->inode), l->offset);
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
	if (!exec_name(s->pid, r.program, sizeof(r.program), r.started_by, sizeof(r.started_by)))
		r.started_by[0] = '\0';
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

int symbols_pid(const struct symbols *s)
{
	return s->pid;
}

uint64_t symbols_generation(const struct symbols *s)
{
	return s->generation;
}

void symbols_note_miss(struct symbols *s)
{
	s->missed = true;
}
