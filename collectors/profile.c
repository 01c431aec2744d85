/* SPDX-License-Identifier: Apache-2.0 */
/* profile.c: samples added up: functions by self and total, stacks, the hottest of each thread. */
#include "collectors/profile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PROFILE_STACKS = 4096, PROFILE_PAIRS = 8192, PROFILE_PROBES = 32, PROFILE_TOPS = 128 };

#define PROFILE_FADE_NS 10e9

struct profile_function {
	uint64_t self, total;
	uint64_t stamp;	      /* the last sample that counted it: recursion counts once */
	uint64_t self_before; /* at the last filling */
	double recent;	      /* self samples, fading */
};

struct profile_stack {
	uint64_t hash, count;
	uint32_t n;
	uint32_t ids[SNAP_FRAMES];
};

/* Samples of one function at the leaf of one thread. */
struct profile_pair {
	uint32_t tid, id;
	uint64_t count;
};

struct profile {
	struct profile_function *functions; /* by symbol id */
	uint32_t nfunctions;
	struct profile_stack *stacks; /* open addressing by hash */
	struct profile_pair *pairs;   /* open addressing by tid and id */
	/* A bit a place in use: the tables are large, mostly empty, and walked every tick. */
	uint64_t used_stacks[PROFILE_STACKS / 64], used_pairs[PROFILE_PAIRS / 64];
	uint64_t samples, kernel, complete, stacks_lost;
	uint64_t samples_before; /* at the last filling */
	double recent;		 /* samples, fading */
	uint32_t *order;	 /* scratch for sorting, nfunctions long */
};

struct profile *profile_new(void)
{
	struct profile *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->stacks = calloc(PROFILE_STACKS, sizeof(*p->stacks));
	p->pairs = calloc(PROFILE_PAIRS, sizeof(*p->pairs));
	if (!p->stacks || !p->pairs) {
		profile_free(p);
		return NULL;
	}
	return p;
}

void profile_free(struct profile *p)
{
	if (!p)
		return;
	free(p->functions);
	free(p->stacks);
	free(p->pairs);
	free(p->order);
	free(p);
}

void profile_reset(struct profile *p)
{
	/* calloc'ed pages that were never touched stay so: clear only what was used. */
	if (p->functions)
		memset(p->functions, 0, p->nfunctions * sizeof(*p->functions));
	for (uint32_t i = 0; i < PROFILE_STACKS; i++)
		if (p->stacks[i].count)
			memset(&p->stacks[i], 0, sizeof(p->stacks[i]));
	memset(p->pairs, 0, PROFILE_PAIRS * sizeof(*p->pairs));
	p->samples = p->kernel = p->complete = p->stacks_lost = 0;
	p->samples_before = 0;
	p->recent = 0;
	memset(p->used_stacks, 0, sizeof(p->used_stacks));
	memset(p->used_pairs, 0, sizeof(p->used_pairs));
}

static int reserve(struct profile *p, uint32_t id)
{
	uint32_t want = p->nfunctions ? p->nfunctions : 256;
	struct profile_function *f;
	uint32_t *o;

	if (id < p->nfunctions)
		return 0;
	while (want <= id)
		want *= 2;
	f = realloc(p->functions, want * sizeof(*f));
	if (!f)
		return -ENOMEM;
	p->functions = f;
	o = realloc(p->order, want * sizeof(*o));
	if (!o)
		return -ENOMEM;
	p->order = o;
	memset(f + p->nfunctions, 0, (want - p->nfunctions) * sizeof(*f));
	p->nfunctions = want;
	return 0;
}

static void mark(uint64_t *used, uint32_t i)
{
	used[i / 64] |= 1ull << i % 64;
}

/* Is place *i in use? Where 64 are not, *i goes on to the last of them. */
static bool is_marked(const uint64_t *used, uint32_t *i)
{
	if (!used[*i / 64]) {
		*i |= 63;
		return false;
	}
	return used[*i / 64] >> *i % 64 & 1;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v;
	h *= 0x9E3779B97F4A7C15ull;
	return h ^ h >> 29;
}

/*
 * Both tables are full of what was hot once, in a program that runs long enough: then the one seen
 * least often, of those that the newcomer could lie at, gives way. Counts can so be too low, for
 * what comes and goes, but never too high.
 */
static void add_stack(struct profile *p, const uint32_t *ids, uint32_t n)
{
	struct profile_stack *least = NULL;
	uint64_t hash = n;

	if (n > SNAP_FRAMES)
		n = SNAP_FRAMES;
	for (uint32_t i = 0; i < n; i++)
		hash = mix(hash, ids[i]);
	for (uint32_t i = 0; i < PROFILE_PROBES; i++) {
		struct profile_stack *st = &p->stacks[(hash + i) % PROFILE_STACKS];

		if (st->count && st->hash == hash) {
			st->count++;
			return;
		}
		if (!least || st->count < least->count)
			least = st;
		if (!st->count)
			break;
	}
	p->stacks_lost += least->count > 0;
	mark(p->used_stacks, (uint32_t)(least - p->stacks));
	least->hash = hash;
	least->count = 1;
	least->n = n;
	memcpy(least->ids, ids, n * sizeof(*ids));
}

static void add_pair(struct profile *p, uint32_t tid, uint32_t id)
{
	struct profile_pair *least = NULL;
	uint64_t hash = mix(tid, id);

	for (uint32_t i = 0; i < PROFILE_PROBES; i++) {
		struct profile_pair *pair = &p->pairs[(hash + i) % PROFILE_PAIRS];

		if (pair->count && pair->tid == tid && pair->id == id) {
			pair->count++;
			return;
		}
		if (!least || pair->count < least->count)
			least = pair;
		if (!pair->count)
			break;
	}
	mark(p->used_pairs, (uint32_t)(least - p->pairs));
	*least = (struct profile_pair){.tid = tid, .id = id, .count = 1};
}

int profile_add(struct profile *p, uint32_t tid, const uint32_t *ids, uint32_t n, uint32_t self,
		bool in_kernel, bool complete)
{
	uint32_t max = 0;

	if (!n)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		max = ids[i] > max ? ids[i] : max;
	if (reserve(p, max))
		return -ENOMEM;
	p->samples++;
	p->kernel += in_kernel;
	p->complete += complete;
	p->functions[ids[self]].self++;
	for (uint32_t i = 0; i < n; i++) {
		struct profile_function *f = &p->functions[ids[i]];

		if (f->stamp != p->samples)
			f->total++;
		f->stamp = p->samples;
	}
	add_stack(p, ids, n);
	add_pair(p, tid, ids[self]);
	return 0;
}

/* ---- into the snapshot ---------------------------------------------------------------------- */

static int compare_total(const void *a, const void *b, void *arg)
{
	const struct profile *p = arg;
	const struct profile_function *x = &p->functions[*(const uint32_t *)a];
	const struct profile_function *y = &p->functions[*(const uint32_t *)b];

	if (x->self != y->self)
		return x->self > y->self ? -1 : 1;
	return x->total > y->total ? -1 : x->total < y->total;
}

/*
 * What is hot now is told by samples that fade with a time constant of ten seconds: an hour's old
 * work does not hide it, and a single tick does not decide it.
 */
static void fade(struct profile *p, uint64_t interval_ns)
{
	double keep = exp(-(double)interval_ns / PROFILE_FADE_NS);

	p->recent = p->recent * keep + (double)(p->samples - p->samples_before);
	p->samples_before = p->samples;
	for (uint32_t id = 0; id < p->nfunctions; id++) {
		struct profile_function *f = &p->functions[id];

		if (!f->total)
			continue;
		f->recent = f->recent * keep + (double)(f->self - f->self_before);
		f->self_before = f->self;
	}
}

static void fill_functions(struct profile *p, struct symbols *syms, struct snapshot *s)
{
	uint32_t n = 0;

	fade(p, s->interval_ns);
	for (uint32_t id = 0; id < p->nfunctions; id++)
		if (p->functions[id].total)
			p->order[n++] = id;
	qsort_r(p->order, n, sizeof(*p->order), compare_total, p);
	for (uint32_t i = 0; i < n; i++) {
		const struct profile_function *f = &p->functions[p->order[i]];
		struct snap_function *out;
		struct symbol sym;

		if (s->nfunctions == SNAP_FUNCTIONS) {
			s->truncated += n - i;
			break;
		}
		out = &s->functions[s->nfunctions++];
		symbols_by_id(syms, p->order[i], &sym);
		snapshot_string(out->name, sizeof(out->name), sym.name);
		snapshot_string(out->module, sizeof(out->module), sym.module);
		out->self = f->self;
		out->total = f->total;
		out->self_pct = 100.0 * (double)f->self / (double)p->samples;
		out->recent_pct = p->recent > 0 ? 100.0 * f->recent / p->recent : 0;
		out->total_pct = 100.0 * (double)f->total / (double)p->samples;
	}
}

static void fill_stacks(struct profile *p, struct symbols *syms, struct snapshot *s)
{
	uint32_t top[SNAP_STACKS], n = 0;

	/* The SNAP_STACKS largest, by insertion: the table is small and mostly empty. */
	for (uint32_t i = 0; i < PROFILE_STACKS; i++) {
		uint32_t at = n;

		if (!is_marked(p->used_stacks, &i) || !p->stacks[i].count)
			continue;
		/* cppcheck-suppress uninitvar ; the first n are set */
		while (at && p->stacks[top[at - 1]].count < p->stacks[i].count)
			at--;
		if (at == SNAP_STACKS)
			continue;
		if (n < SNAP_STACKS)
			n++;
		memmove(top + at + 1, top + at, (n - 1 - at) * sizeof(*top));
		top[at] = i;
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct profile_stack *st = &p->stacks[top[i]];
		struct snap_stack *out = &s->stacks[s->nstacks++];

		out->count = st->count;
		out->nframes = st->n;
		for (uint32_t f = 0; f < st->n; f++)
			out->frames[f] = symbols_snapshot(syms, st->ids[f], s);
	}
}

static void fill_thread_tops(struct profile *p, struct symbols *syms, struct snapshot *s)
{
	const struct profile_pair *best[PROFILE_TOPS] = {NULL};
	uint32_t n = s->nthreads < PROFILE_TOPS ? s->nthreads : PROFILE_TOPS;

	/* Threads are sorted by how busy they are: the rest have hardly a sample. */
	for (uint32_t i = 0; i < PROFILE_PAIRS; i++) {
		const struct profile_pair *pair = &p->pairs[i];

		if (!is_marked(p->used_pairs, &i))
			continue;

		for (uint32_t t = 0; pair->count && t < n; t++)
			if (pair->tid == (uint32_t)s->threads[t].tid &&
			    (!best[t] || pair->count > best[t]->count))
				best[t] = pair;
	}
	for (uint32_t t = 0; t < n; t++) {
		struct symbol sym;

		if (!best[t])
			continue;
		symbols_by_id(syms, best[t]->id, &sym);
		snapshot_string(s->threads[t].top, sizeof(s->threads[t].top), sym.name);
	}
}

void profile_fill(struct profile *p, struct symbols *syms, struct snapshot *s)
{
	s->cpu.samples = p->samples;
	s->cpu.kernel_samples = p->kernel;
	if (!p->samples)
		return;
	s->cpu.unwound_pct = 100.0 * (double)p->complete / (double)p->samples;
	fill_functions(p, syms, s);
	fill_stacks(p, syms, s);
	s->truncated += (uint32_t)p->stacks_lost;
	fill_thread_tops(p, syms, s);
}
