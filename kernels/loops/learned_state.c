/* SPDX-License-Identifier: Apache-2.0 */
/* learned_state.c: what was learned, to disk and back. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/durable.h"
#include "kernels/loops/learned.h"

#define KIND "learned"
enum { VERSION = 1, MAX_PARTS = 24 };

/* In the file's order after it: base, square, mean, stiffness, anchor [n floats each], stiffness
 * and anchor of each task, micro's a and b, nodes, weights and codes of the memories. */
struct state_header {
	uint32_t dim, rank, layers;
	uint32_t micro_dim, micro_rank;
	uint32_t ntasks, memories, code_bytes;
	uint64_t observed, finished, cycles_b, cycles_c, dreams, dreams_kept;
	float task_weight[EWC_MAX_TASKS];
	uint64_t spare[10];
};
_Static_assert(sizeof(struct state_header) % 64 == 0, "what follows is aligned");

static int path_in(const char *folder, const char *file, char *path, size_t size)
{
	return snprintf(path, size, "%s/%s", folder, file) < (int)size ? 0 : -ENAMETOOLONG;
}

static struct state_header header_of(const struct learned *l, const struct lora *micro)
{
	struct state_header h = {
		.dim = l->options.dim,
		.rank = l->options.rank,
		.layers = l->options.layers,
		.micro_dim = micro->dim_in,
		.micro_rank = micro->rank,
		.ntasks = l->ewc.ntasks,
		.memories = l->graph.count,
		.code_bytes = (uint32_t)l->graph.code_bytes,
		.observed = l->ewc.observed,
		.finished = l->ewc.finished,
		.cycles_b = l->cycles_b,
		.cycles_c = l->cycles_c,
		.dreams = l->dreams,
		.dreams_kept = l->dreams_kept,
	};

	for (uint32_t t = 0; t < l->ewc.ntasks; t++)
		h.task_weight[t] = l->ewc.task[t].weight;
	return h;
}

struct part {
	void *memory; /* where it is in a running engine */
	size_t bytes;
	bool floats, positive; /* what may be in it */
};

/* The same list for both ways; ntasks and memories are the header's. */
static uint32_t parts_of(struct learned *l, struct lora *micro, const struct state_header *h,
			 struct part *p)
{
	const size_t n = l->ewc.config.n * sizeof(float);
	const size_t lora = (size_t)micro->rank * micro->dim_in * sizeof(float);
	const struct dream_graph *g = &l->graph;
	uint32_t at = 0;

	p[at++] = (struct part){l->base[l->turn.current].weights, n, true, false};
	p[at++] = (struct part){l->ewc.square, n, true, true};
	p[at++] = (struct part){l->ewc.mean, n, true, false};
	p[at++] = (struct part){l->ewc.stiffness, n, true, true};
	p[at++] = (struct part){l->ewc.anchor, n, true, false};
	for (uint32_t t = 0; t < h->ntasks; t++) {
		p[at++] = (struct part){l->ewc.task_stiffness[t], n, true, true};
		p[at++] = (struct part){l->ewc.task_anchor[t], n, true, false};
	}
	p[at++] = (struct part){micro->a, lora, true, false};
	p[at++] = (struct part){micro->b, lora, true, false};
	p[at++] = (struct part){g->node, h->memories * sizeof(*g->node), false, false};
	p[at++] = (struct part){g->weight, h->memories * sizeof(*g->weight), false, false};
	p[at++] = (struct part){g->codes, h->memories * g->code_bytes, false, false};
	return at;
}

int learned_save(struct learned *l, const struct lora *micro, const char *folder)
{
	struct state_header h = header_of(l, micro);
	struct lora copy = *micro;
	struct part part[MAX_PARTS];
	struct iovec io[MAX_PARTS + 1] = {{&h, sizeof(h)}};
	uint32_t n = parts_of(l, &copy, &h, part);
	char path[PATH_MAX];
	int err;

	for (uint32_t i = 0; i < n; i++)
		io[i + 1] = (struct iovec){part[i].memory, part[i].bytes};
	err = path_in(folder, LEARNED_FILE, path, sizeof(path));
	err = err ? err : durable_save(path, KIND, VERSION, io, n + 1);
	err = err ? err : path_in(folder, LEARNED_PATTERNS, path, sizeof(path));
	return err ? err : pattern_store_save(l->patterns, path);
}

static int header_check(const struct learned *l, const struct lora *micro,
			const struct state_header *h)
{
	if (h->dim != l->options.dim || h->rank != l->options.rank ||
	    h->layers != l->options.layers || h->micro_dim != micro->dim_in ||
	    h->micro_rank != micro->rank || h->memories > l->options.memories ||
	    h->code_bytes != l->graph.code_bytes)
		return -EPROTO;
	if (h->ntasks > LEARNED_TASKS || h->ntasks > h->finished)
		return -EBADMSG;
	for (uint32_t t = 0; t < h->ntasks; t++)
		if (!(h->task_weight[t] >= 0 && h->task_weight[t] < INFINITY))
			return -EBADMSG;
	return 0;
}

static bool floats_are_sound(const void *data, const struct part *p)
{
	const float *x = data;

	for (size_t i = 0; i < p->bytes / sizeof(*x); i++)
		if (!isfinite(x[i]) || (p->positive && x[i] < 0))
			return false;
	return true;
}

static int parts_check(const char *data, size_t size, const struct part *part, uint32_t n)
{
	size_t at = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (part[i].bytes > size - at)
			return -EBADMSG;
		if (part[i].floats && !floats_are_sound(data + at, &part[i]))
			return -EBADMSG;
		at += part[i].bytes;
	}
	return at == size ? 0 : -EBADMSG;
}

/* The memories come into place to be checked; when they are not sound there are none. */
static int graph_load(struct learned *l, const char *data, size_t size, const struct part *part,
		      uint32_t count)
{
	struct dream_graph *g = &l->graph;
	size_t at = size;
	int err;

	for (int i = 2; i >= 0; i--)
		at -= part[i].bytes;
	for (int i = 0; i < 3; i++) {
		memcpy(part[i].memory, data + at, part[i].bytes);
		at += part[i].bytes;
	}
	g->count = count;
	err = dream_graph_check(g);
	if (err)
		g->count = 0;
	return err;
}

static void take_header(struct learned *l, const struct state_header *h)
{
	l->ewc.ntasks = h->ntasks;
	l->ewc.observed = h->observed;
	l->ewc.finished = h->finished;
	l->cycles_b = h->cycles_b;
	l->cycles_c = h->cycles_c;
	l->dreams = h->dreams;
	l->dreams_kept = h->dreams_kept;
	for (uint32_t t = 0; t < h->ntasks; t++)
		l->ewc.task[t] = (struct ewc_task){l->ewc.task_stiffness[t], l->ewc.task_anchor[t],
						   h->task_weight[t]};
}

static int parse(struct learned *l, struct lora *micro, const char *data, size_t size)
{
	struct part part[MAX_PARTS];
	struct state_header h;
	uint32_t n;
	int err;

	if (size < sizeof(h))
		return -EBADMSG;
	memcpy(&h, data, sizeof(h));
	data += sizeof(h);
	size -= sizeof(h);
	err = header_check(l, micro, &h);
	if (err)
		return err;
	n = parts_of(l, micro, &h, part);
	err = parts_check(data, size, part, n);
	err = err ? err : graph_load(l, data, size, part + n - 3, h.memories);
	if (err)
		return err;
	for (uint32_t i = 0; i < n - 3; i++, data += part[i - 1].bytes)
		memcpy(part[i].memory, data, part[i].bytes);
	take_header(l, &h);
	return 0;
}

static int patterns_load(struct learned *l, const char *folder)
{
	struct pattern_store_options o = {l->options.dim, l->options.patterns,
					  LEARNED_MERGE_SIMILARITY, l->options.isa};
	struct pattern_store *s;
	char path[PATH_MAX];
	int err = path_in(folder, LEARNED_PATTERNS, path, sizeof(path));

	if (err)
		return err;
	s = pattern_store_load(path, &o, &err);
	if (!s)
		return err == -ENOENT ? 0 : err;
	pattern_store_free(l->patterns);
	l->patterns = s;
	return 0;
}

int learned_load(struct learned *l, struct lora *micro, const char *folder, const char **file)
{
	/* Far above what any of this takes, and no surprise for malloc. */
	const size_t most = 1ull << 32;
	char path[PATH_MAX];
	void *data = NULL;
	size_t size = 0;
	int err;

	/* Patterns first: they are taken whole or not at all, the rest only when all is sound. */
	*file = LEARNED_PATTERNS;
	err = patterns_load(l, folder);
	if (err)
		return err;
	*file = LEARNED_FILE;
	err = path_in(folder, LEARNED_FILE, path, sizeof(path));
	err = err ? err : durable_load(path, KIND, VERSION, most, &data, &size);
	if (err)
		return err == -ENOENT ? 0 : err;
	err = parse(l, micro, data, size);
	free(data);
	return err;
}

int learned_set_aside(const char *folder, const char *file, char *kept, size_t size)
{
	char path[PATH_MAX], other[PATH_MAX];
	struct stat st;
	int err = path_in(folder, file, path, sizeof(path));

	for (unsigned int n = 1; !err && n < UINT_MAX; n++) {
		if (snprintf(other, sizeof(other), "%s.bad-%u", path, n) >= (int)sizeof(other))
			return -ENAMETOOLONG;
		if (!lstat(other, &st))
			continue;
		if (rename(path, other))
			return -errno;
		snprintf(kept, size, "%s", other);
		return 0;
	}
	return err ? err : -EEXIST;
}
