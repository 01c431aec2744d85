/* SPDX-License-Identifier: Apache-2.0 */
/* heap_report.c: a report of a heap's samples: the largest sites, the leak suspects, the ages. */
#include <math.h>
#include <string.h>

#include "collectors/heap_sites_priv.h"

/* ---- growth and leaks ----------------------------------------------------------------------- */

/* Slope of a straight line through the points, bytes a second, by least squares. */
static double slope_of(const struct site *s)
{
	double n = s->npoints, t0, mt = 0, mb = 0, stt = 0, stb = 0;

	if (s->npoints < 3)
		return 0;
	t0 = (double)s->points[0].ns;
	for (uint32_t i = 0; i < s->npoints; i++) {
		mt += ((double)s->points[i].ns - t0) / 1e9 / n;
		mb += s->points[i].live_bytes / n;
	}
	for (uint32_t i = 0; i < s->npoints; i++) {
		double t = ((double)s->points[i].ns - t0) / 1e9 - mt;

		stt += t * t;
		stb += t * (s->points[i].live_bytes - mb);
	}
	return stt > 0 ? stb / stt : 0;
}

static double unit(double x)
{
	return x < 0 ? 0 : x > 1 ? 1 : x;
}

/*
 * 100 * growth * age * trust, each of 0 to 1.
 *
 *	growth	what the slope adds up to over the watch, of what lives now: 1 for a site that rose
 *		steadily from nothing, 0 for one that keeps its level, however much and old it is
 *	age	bytes older than half of the watch, or than half a minute; of a steady leak it is
 *		half or more, so twice that: 0 for what came of late and may still go
 *	trust	n / (n + 4) for n live samples: two samples in a row may be chance
 */
static double leak_score(const struct site *s, double slope)
{
	double span, growth, age;

	if (s->npoints < 4 || s->live_bytes <= 0 || slope <= 0)
		return 0;
	span = (double)(s->points[s->npoints - 1].ns - s->points[0].ns) / 1e9;
	growth = unit(slope * span / s->live_bytes);
	age = unit(2 * s->old_bytes / s->live_bytes);
	return 100 * growth * age * s->live_samples / (s->live_samples + 4.0);
}

/* ---- ages ----------------------------------------------------------------------------------- */

/* Four bins an octave of ns. */
static unsigned int age_bin(uint64_t ns)
{
	unsigned int log;

	if (ns < 4)
		return (unsigned int)ns;
	log = bucket_log2(ns);
	return log * 4 + (unsigned int)(ns >> (log - 2) & 3);
}

static uint64_t age_of_bin(unsigned int i)
{
	return i < 8 ? i : (uint64_t)(4 + (i & 3)) << (i / 4 - 2);
}

static uint64_t age_median(const float *ages)
{
	double total = 0, seen = 0;

	for (unsigned int i = 0; i < 256; i++)
		total += ages[i];
	for (unsigned int i = 0; i < 256; i++) {
		seen += ages[i];
		if (seen > 0 && seen >= total / 2) /* the middle of the bin: within an eighth */
			return age_of_bin(i) + age_of_bin(i) / 8;
	}
	return 0;
}

static uint64_t age(const struct live *l, uint64_t now)
{
	return now > l->time_ns ? now - l->time_ns : 0;
}

/* One pass over what lives: generations, and how much of each site is old. */
static void add_generations(struct heap_sites *h, uint64_t now, struct heap_report *r)
{
	uint64_t old = (now > h->first_ns ? now - h->first_ns : 0) / 2;

	old = old < LEAK_OLD_NS ? old : LEAK_OLD_NS;
	for (uint32_t i = 0; i < h->nsites; i++)
		h->sites[i].old_bytes = 0;
	for (uint32_t i = 0; i < HEAP_TABLE; i++) {
		const struct live *l = &h->live[i];
		struct site *s = &h->sites[l->site];
		uint64_t ns;
		int g = 0;

		if (!l->id)
			continue;
		ns = age(l, now);
		while (g < HEAP_GENERATIONS - 1 && ns >= heap_generation_top_ns[g])
			g++;
		r->generation_bytes[g] += l->weight * (double)l->bytes;
		r->generation_objects[g] += l->weight;
		if (ns >= old)
			s->old_bytes += l->weight * (double)l->bytes;
	}
}

/* A second pass, for the sites that are reported alone. */
static void add_medians(struct heap_sites *h, uint64_t now)
{
	for (uint32_t i = 0; i < HEAP_TABLE; i++) {
		const struct live *l = &h->live[i];
		uint16_t row = l->id ? h->row_of[l->site] : 0;

		if (row)
			h->ages[row - 1][age_bin(age(l, now))] += (float)l->weight;
	}
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* Of all sites the HEAP_TOP with the largest score, largest first; their indices. */
static uint32_t pick(const struct heap_sites *h, uint32_t *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < h->nsites; i++) {
		uint32_t at = n;

		if (!(h->score[i] > 0) || (n == HEAP_TOP && h->score[i] <= h->score[out[n - 1]]))
			continue;
		if (n < HEAP_TOP)
			n++;
		else
			at = n - 1;
		for (; at > 0 && h->score[out[at - 1]] < h->score[i]; at--)
			out[at] = out[at - 1];
		out[at] = i;
	}
	return n;
}

static void fill_row(const struct heap_sites *h, uint32_t i, struct heap_site *row)
{
	const struct site *s = &h->sites[i];
	double slope = slope_of(s);

	*row = (struct heap_site){
		.nframes = s->nframes,
		.live_bytes = s->live_bytes,
		.live_objects = s->live_objects,
		.alloc_bytes = s->alloc_bytes,
		.alloc_objects = s->alloc_objects,
		.rate_bytes = s->rate_bytes,
		.growth_bytes = slope,
		.leak_score = leak_score(s, slope),
		.samples = s->samples,
	};
	memcpy(row->frames, s->frames, s->nframes * sizeof(*row->frames));
}

/* Sites by what lives of them, then those that leak, by bytes at stake. */
static void fill_sites(struct heap_sites *h, uint64_t now, struct heap_report *r)
{
	uint32_t top[HEAP_TOP], suspects[HEAP_TOP], rows = 0;

	for (uint32_t i = 0; i < h->nsites; i++)
		h->score[i] = h->sites[i].live_bytes;
	r->ntop = pick(h, top);
	for (uint32_t i = 0; i < h->nsites; i++)
		h->score[i] =
			leak_score(&h->sites[i], slope_of(&h->sites[i])) * h->sites[i].live_bytes;
	r->nsuspects = pick(h, suspects);
	memset(h->row_of, 0, sizeof(h->row_of));
	memset(h->ages, 0, sizeof(h->ages));
	for (uint32_t i = 0; i < r->ntop; i++)
		h->row_of[top[i]] = (uint16_t)++rows;
	for (uint32_t i = 0; i < r->nsuspects; i++)
		if (!h->row_of[suspects[i]])
			h->row_of[suspects[i]] = (uint16_t)++rows;
	add_medians(h, now);
	for (uint32_t i = 0; i < r->ntop; i++) {
		fill_row(h, top[i], &r->top[i]);
		r->top[i].age_p50_ns = age_median(h->ages[h->row_of[top[i]] - 1]);
	}
	for (uint32_t i = 0; i < r->nsuspects; i++) {
		fill_row(h, suspects[i], &r->suspects[i]);
		r->suspects[i].age_p50_ns = age_median(h->ages[h->row_of[suspects[i]] - 1]);
	}
}

static uint64_t lifetime_quantile(const double *bins, double q)
{
	double total = 0, seen = 0;

	for (int i = 0; i < HEAP_LIFETIMES; i++)
		total += bins[i];
	for (int i = 0; i < HEAP_LIFETIMES; i++) {
		double in = bins[i];

		if (in > 0 && seen + in >= q * total) /* between the bin's ends, by its share */
			return (uint64_t)ldexp(1 + unit((q * total - seen) / in), i);
		seen += in;
	}
	return 0;
}

static void fill_pauses(const struct heap_sites *h, uint64_t now, struct heap_report *r)
{
	for (uint32_t i = 0; i < PAUSES; i++) {
		const struct heap_pause *p = &h->pauses[i];
		uint32_t at = r->npauses;

		if (!p->duration_ns || p->time_ns + PAUSE_KEEP_NS < now)
			continue;
		for (; at > 0 && r->pauses[at - 1].duration_ns < p->duration_ns; at--)
			r->pauses[at] = r->pauses[at - 1];
		r->pauses[at] = *p;
		r->npauses++;
	}
}

void heap_sites_report(struct heap_sites *h, uint64_t now_ns, struct heap_report *r)
{
	memset(r->generation_bytes, 0, sizeof(r->generation_bytes));
	memset(r->generation_objects, 0, sizeof(r->generation_objects));
	r->live_bytes = h->live_bytes;
	r->live_objects = h->live_objects;
	r->alloc_bytes = h->alloc_bytes;
	r->alloc_objects = h->alloc_objects;
	r->lifetime_unknown = h->lifetime_unknown;
	memcpy(r->lifetimes, h->lifetimes, sizeof(r->lifetimes));
	memcpy(r->lifetime_bytes, h->lifetime_bytes, sizeof(r->lifetime_bytes));
	r->lifetime_p50_ns = lifetime_quantile(h->lifetimes, 0.5);
	r->lifetime_p99_ns = lifetime_quantile(h->lifetimes, 0.99);
	r->live_samples = h->live_samples;
	r->nsites = h->nsites - 1;
	r->npauses = 0;
	add_generations(h, now_ns, r);
	fill_sites(h, now_ns, r);
	fill_pauses(h, now_ns, r);
}
