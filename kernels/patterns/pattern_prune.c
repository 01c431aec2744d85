/* SPDX-License-Identifier: Apache-2.0 */
/* pattern_prune.c: which patterns are kept, and which become one. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/patterns/pattern_store_state.h"

double pattern_worth(const struct pattern *p, uint64_t half_life_ns, uint64_t now_ns)
{
	double worth = p->quality * log2(1 + (double)p->count + p->uses);

	if (half_life_ns && now_ns > p->updated_ns)
		worth *= exp2(-(double)(now_ns - p->updated_ns) / (double)half_life_ns);
	return worth;
}

struct ranked {
	double worth;
	uint64_t id;
};

/* Least worth first; the older one of equals. */
static int compare_worth(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->worth != y->worth)
		return x->worth < y->worth ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

int pattern_store_prune(struct pattern_store *s, uint32_t keep, float min_quality,
			uint64_t half_life_ns, uint64_t now_ns)
{
	struct ranked *r;
	uint32_t n, gone = 0;
	int err = 0;

	if (!s || isnan(min_quality))
		return -EINVAL;
	n = s->count;
	if (!n)
		return 0;
	r = malloc(n * sizeof(*r));
	if (!r)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		const struct pattern *p = pattern_store_at(s, i);

		r[i] = (struct ranked){pattern_worth(p, half_life_ns, now_ns), p->id};
	}
	qsort(r, n, sizeof(*r), compare_worth);
	for (uint32_t i = 0; i < n && !err; i++) {
		if (n - i <= keep && s->pattern[pattern_slot(r[i].id)].quality >= min_quality)
			continue;
		err = pattern_store_remove(s, r[i].id);
		gone += !err;
	}
	free(r);
	return err ? err : (int)gone;
}

/* The pattern most like the one at a position, beside itself. 0: none that similar. */
static uint64_t twin_of(const struct pattern_store *s, uint32_t at, float similarity)
{
	struct pattern_found f[2];
	int n = pattern_store_find(s, s->own, pattern_store_embedding(s, at), 2, f);

	for (int i = 0; i < n; i++)
		if (f[i].pattern.id != pattern_store_at(s, at)->id && f[i].similarity >= similarity)
			return f[i].pattern.id;
	return 0;
}

int pattern_store_consolidate(struct pattern_store *s, float similarity, uint64_t now_ns)
{
	int gone = 0;

	if (!s || isnan(similarity))
		return -EINVAL;
	for (uint32_t i = 0; i < s->count;) {
		uint64_t twin = twin_of(s, i, similarity);
		const struct pattern *p = pattern_store_at(s, i);
		int err;

		if (!twin) {
			i++;
			continue;
		}
		/* The one of fewer observations joins the other; another takes its position. */
		if (p->count > s->pattern[pattern_slot(twin)].count)
			err = pattern_store_merge(s, p->id, twin, now_ns);
		else
			err = pattern_store_merge(s, twin, p->id, now_ns);
		if (err)
			return err;
		gone++;
	}
	return gone;
}
