/* SPDX-License-Identifier: Apache-2.0 */
/* heap_words.c: what state a heap is in: leak, fragmentation, cache, growth or none of them. */
#include <stdio.h>
#include <string.h>

#include "collectors/heap_priv.h"

/* Free memory worth a word: two fifths of what was obtained, and enough to matter. */
#define FREE_SHARE     0.4
#define FREE_MIN_BYTES (16ull << 20)
/* As much of the free memory as this in whole pages: it could be given back. */
#define TRIM_SHARE 0.5
#define LEAK_SCORE 0.5

enum { SIZE = 24 };

static const char *bytes_text(char *buf, double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	uint32_t u = 0;

	while (bytes >= 1000 && u < 5) {
		bytes /= 1024;
		u++;
	}
	snprintf(buf, SIZE, bytes < 9.95 && u ? "%.1f %s" : "%.0f %s", bytes, units[u]);
	return buf;
}

static const char *time_text(char *buf, uint64_t ns)
{
	uint64_t s = (ns + 500000000u) / 1000000000u;

	if (s < 120)
		snprintf(buf, SIZE, "%llu s", (unsigned long long)s);
	else
		snprintf(buf, SIZE, "%llu min", (unsigned long long)(s / 60));
	return buf;
}

/* What gives memory back, by the beginning of the allocator's name. */
static const char *way_back(const char *allocator)
{
	static const struct {
		const char *name, *way;
	} ways[] = {
		{"jemalloc", "purging its arenas"},
		{"tcmalloc", "MallocExtension_ReleaseFreeMemory"},
		{"mimalloc", "mi_collect"},
	};

	for (uint32_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (!strncmp(allocator, ways[i].name, strlen(ways[i].name)))
			return ways[i].way;
	return "malloc_trim";
}

/* "jemalloc 5.3.0" of "jemalloc 5.3.0 (libjemalloc.so.2)", whose file stands elsewhere. */
static int name_bytes(const char *allocator)
{
	return (int)strcspn(allocator, "(") - (strchr(allocator, '(') != NULL);
}

static void say_free(struct snap_heap *h, const struct alloc_stats *st)
{
	char obtained[SIZE], live[SIZE], trim[SIZE];
	double share = (double)st->retained_bytes / (double)st->obtained_bytes;
	double small = (double)st->free_small_bytes / (double)st->retained_bytes;
	double whole = (double)(st->trim_bytes + st->thread_bytes);
	bool cached = whole > TRIM_SHARE * (double)st->retained_bytes;
	int n;

	h->verdict = cached ? HEAP_CACHED : HEAP_FRAGMENTED;
	n = snprintf(h->words, sizeof(h->words),
		     "%s: %s obtained, %s live: %.0f %% is free inside %.*s, ",
		     st->free_unknown ? "fragmentation or cache"
		     : cached	      ? "cached"
				      : "fragmentation",
		     bytes_text(obtained, (double)st->obtained_bytes),
		     bytes_text(live, (double)st->live_bytes), 100 * share,
		     name_bytes(h->allocator), h->allocator);
	if (st->free_unknown)
		snprintf(h->words + n, sizeof(h->words) - (size_t)n,
			 "it does not tell in what pieces; %s would give whole pages back",
			 way_back(h->allocator));
	else
		snprintf(h->words + n, sizeof(h->words) - (size_t)n, "%s; %s would give back %s%s",
			 cached && st->thread_bytes > st->trim_bytes
				 ? "kept by its threads, each in a cache of its own"
			 : cached      ? "in pieces of whole pages, kept for later"
			 : small > 0.5 ? "mostly in pieces below 4 KiB"
				       : "in pieces between blocks in use",
			 way_back(h->allocator), st->trim_bytes ? "at most " : "nothing",
			 st->trim_bytes ? bytes_text(trim, (double)st->trim_bytes) : "");
}

/* The call sites of a leak, or what hides them. */
static const char *sites_text(const struct snap_heap *h, const struct heap_facts *f, char *buf,
			      size_t size)
{
	if (!snapshot_heap_is_own(h))
		return f->sampling ? "no call site stands out as a leak yet"
				   : "whether it is a leak needs --heap=sample";
	snprintf(buf, size, "%s malloc alone, %.0f %% of it%s",
		 f->sampling ? "the sampler sees" : "--heap=sample would see",
		 100.0 * (double)h->obtained_bytes / (double)h->anon_bytes,
		 f->script ? ": Python's objects only with PYTHONMALLOC=malloc" : "");
	return buf;
}

static void say_growth(struct snap_heap *h, const struct heap_facts *f)
{
	char now[SIZE], rate[SIZE], age[SIZE], sites[120];
	uint64_t bytes = f->trend_live ? h->live_bytes : h->anon_bytes;

	h->verdict = HEAP_GROWING;
	snprintf(h->words, sizeof(h->words), "growing: %s %s by %s/s for %s, to %s; %s",
		 f->trend_live ? "live bytes" : "anonymous memory",
		 f->trend_live ? "rise" : "rises", bytes_text(rate, h->growth_bytes_s),
		 time_text(age, f->now_ns - f->trend->rising_since_ns),
		 bytes_text(now, (double)bytes), sites_text(h, f, sites, sizeof(sites)));
}

static void say_leak(struct snap_heap *h, const struct heap_facts *f)
{
	const struct snap_heap_site *site = f->suspect;
	char rate[SIZE], live[SIZE];
	double kept =
		site->total_bytes ? 100.0 * (double)site->bytes / (double)site->total_bytes : 0;

	h->verdict = HEAP_LEAKING;
	snprintf(h->words, sizeof(h->words),
		 "leak suspected: %.96s keeps %.0f %% of what it allocates: %s, %s/s more",
		 f->suspect_name, kept > 100 ? 100 : kept, bytes_text(live, (double)site->bytes),
		 bytes_text(rate, site->growth_bytes_s));
}

/* How much of the heap the bound is of, and when there will be more than a bound. */
static void say_partial(struct snap_heap *h, const struct heap_facts *f)
{
	size_t n = strlen(h->words);
	char left[SIZE], more[48] = "";

	if (f->stats->partial_why) {
		snprintf(h->words + n, sizeof(h->words) - n, "; %s", f->stats->partial_why);
		return;
	}
	if (f->left_ns)
		snprintf(more, sizeof(more), ", the rest takes some %s",
			 time_text(left, f->left_ns + 500000000u));
	snprintf(h->words + n, sizeof(h->words) - n,
		 "; %.0f %% of it was searched for free pieces%s", 100 * f->stats->looked, more);
}

static void say_rest(struct snap_heap *h, const struct heap_facts *f)
{
	char obtained[SIZE], live[SIZE], anon[SIZE];
	bool partial = f->stats && f->stats->partial;
	bool early = !heap_trend_slope(f->trend) && heap_trend_span_ns(f->trend) < 12000000000ull;
	bool counting = partial && !f->stats->partial_why;
	const char *state = counting ? "its free pieces are still being counted"
			    : early  ? "too early to say whether it grows"
				     : "steady";

	h->verdict = early || counting ? HEAP_UNKNOWN : HEAP_STEADY;
	if (f->stats && f->stats->obtained_bytes)
		snprintf(h->words, sizeof(h->words),
			 "%s: %s obtained, %s%s live, %s%.0f %% free inside %.*s", state,
			 bytes_text(obtained, (double)f->stats->obtained_bytes),
			 partial ? "at most " : "", bytes_text(live, (double)f->stats->live_bytes),
			 partial ? "at least " : "",
			 100.0 * (double)f->stats->retained_bytes /
				 (double)f->stats->obtained_bytes,
			 name_bytes(h->allocator), h->allocator);
	else if (h->live_bytes)
		snprintf(h->words, sizeof(h->words), "%s: %s live of %s of anonymous memory", state,
			 bytes_text(live, (double)h->live_bytes),
			 bytes_text(anon, (double)h->anon_bytes));
	else
		snprintf(h->words, sizeof(h->words), "%s: %s of anonymous memory; %.150s", state,
			 bytes_text(anon, (double)h->anon_bytes), f->why);
	if (partial)
		say_partial(h, f);
}

/* Memory that the program maps for itself, as Python does for its objects. */
static void add_own(struct snap_heap *h)
{
	char own[SIZE];
	size_t n = strlen(h->words);

	if (!h->obtained_bytes || h->anon_bytes < h->obtained_bytes + SNAP_HEAP_OWN_BYTES)
		return;
	snprintf(h->words + n, sizeof(h->words) - n,
		 "; %s of anonymous memory more, mapped by the program itself",
		 bytes_text(own, (double)(h->anon_bytes - h->obtained_bytes)));
}

void heap_words(struct snap_heap *h, const struct heap_facts *f)
{
	const struct alloc_stats *st = f->stats;

	h->growth_bytes_s = heap_trend_slope(f->trend);
	if (f->suspect && f->suspect->leak_score >= LEAK_SCORE && f->trend->rising_since_ns)
		say_leak(h, f);
	else if (f->trend->rising_since_ns)
		say_growth(h, f);
	else if (st && !st->partial && st->retained_bytes >= FREE_MIN_BYTES &&
		 (double)st->retained_bytes >= FREE_SHARE * (double)st->obtained_bytes)
		say_free(h, st);
	else
		say_rest(h, f);
	add_own(h);
}
