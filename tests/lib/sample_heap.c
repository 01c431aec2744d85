/* SPDX-License-Identifier: Apache-2.0 */
/* sample_heap.c: a heap with a leak, and one that no program has. */
#include "tests/lib/sample_heap.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MIB (1ull << 20)

static void add_site(struct snapshot *s, uint64_t bytes, uint64_t count, double growth, double leak,
		     const char *const *frames)
{
	struct snap_heap_site *h = &s->heap_sites[s->nheap_sites++];

	*h = (struct snap_heap_site){
		.bytes = bytes,
		.count = count,
		.total_bytes = leak > 0 ? bytes : bytes * 40,
		.total_count = leak > 0 ? count : count * 40,
		.rate = leak > 0 ? growth * (double)count / (double)bytes : 1200,
		.growth_bytes_s = growth,
		.age_p50_ns = leak > 0 ? 74000000000ull : 900000000ull,
		.leak_score = leak,
	};
	for (; *frames; frames++)
		h->frames[h->nframes++] = snapshot_symbol(s, *frames, "orderd");
}

static void fill_sites(struct snapshot *s, uint32_t tick)
{
	static const char *const leak[] = {"session_clone", "session_open", "handle_login",
					   "serve",	    "main",	    NULL};
	static const char *const cache[] = {"cache_insert", "lookup_price", "handle_quote",
					    "serve",	    "main",	    NULL};
	static const char *const parse[] = {"json_node_new",
					    "json_parse_array",
					    "json_parse",
					    "handle_order",
					    "serve",
					    "main",
					    NULL};
	static const char *const none[] = {NULL};

	add_site(s, 96 * MIB + tick * 1258291, 402000, 1258291, 0.93, leak);
	add_site(s, 61 * MIB, 15600, 0, 0, cache);
	add_site(s, 9 * MIB, 144000, -2048, 0, parse);
	add_site(s, 3 * MIB / 2, 300, 0, 0, none);
}

static void fill_tables(struct snapshot *s)
{
	static const struct snap_heap_size sizes[] = {
		{16, 12000, 12000 * 8, 9000000},    {32, 91000, 91000 * 24, 81000000},
		{64, 200000, 200000 * 56, 7000000}, {256, 402000, 402000 * 248, 402100},
		{4096, 15600, 15600 * 4088, 16000}, {1 << 20, 3, 3 * 700000, 12},
	};
	static const struct snap_heap_age ages[] = {
		{1000000000ull, 9100, 4 * MIB, 97000000, 0},
		{10000000000ull, 52000, 13 * MIB, 20400, 0},
		{60000000000ull, 251000, 64 * MIB, 900, 0},
		{600000000000ull, 410000, 92 * MIB, 12, 0},
		{UINT64_MAX, 0, 0, 0, 0},
	};

	memcpy(s->heap_sizes, sizes, sizeof(sizes));
	memcpy(s->heap_ages, ages, sizeof(ages));
	s->nheap_sizes = sizeof(sizes) / sizeof(sizes[0]);
	s->nheap_ages = sizeof(ages) / sizeof(ages[0]);
}

void sample_heap_fill(struct snapshot *s, uint32_t tick)
{
	struct snap_heap *h = &s->heap;

	s->nheap = 1;
	*h = (struct snap_heap){
		.mode = HEAP_SAMPLE,
		.verdict = HEAP_LEAKING,
		.rss_bytes = 231 * MIB + tick * 1258291,
		.pss_bytes = 229 * MIB + tick * 1258291,
		.anon_bytes = 224 * MIB + tick * 1258291,
		.obtained_bytes = 223 * MIB + tick * 1258291,
		.live_bytes = 173 * MIB + tick * 1258291,
		.retained_bytes = 50 * MIB,
		.mmapped_bytes = 12 * MIB,
		.live_count = 720603,
		.arenas = 9,
		.alloc_rate = 412000,
		.free_rate = 407000,
		.alloc_bytes_rate = 31e6,
		.growth_bytes_s = 1258291,
		.growth_of_live = 1,
		.brk_rate = 9,
		.mmap_rate = 2,
		.munmap_rate = 2,
		.mapped_rate = 1300000,
		.unmapped_rate = 48000,
		.sample_mean_bytes = 524288,
		.samples = 31000,
	};
	snprintf(h->allocator, sizeof(h->allocator), "glibc 2.36");
	snprintf(h->words, sizeof(h->words),
		 "leak suspected: session_clone keeps 100 %% of what it allocates: 144 MiB, "
		 "1.2 MiB/s more");
	s->heap_pauses = (struct snap_pauses){100000, 14, 620, 21000, 4100000};
	s->nreclaim = 1;
	s->reclaim = (struct snap_reclaim){812, 4096, 91000, 3, 1900000, 2400};
	fill_tables(s);
	fill_sites(s, tick);
	snapshot_set_section(s, "heap", SECTION_LIVE, "sampled in the process", "");
}

void sample_heap_hostile(struct snapshot *s, const char *text)
{
	s->nheap = s->nreclaim = 1;
	memset(&s->heap, 0xff, sizeof(s->heap));
	memset(&s->heap_pauses, 0xff, sizeof(s->heap_pauses));
	memset(&s->reclaim, 0xff, sizeof(s->reclaim));
	memset(s->heap_sizes, 0xff, sizeof(s->heap_sizes));
	memset(s->heap_ages, 0xff, sizeof(s->heap_ages));
	memset(s->heap_sites, 0xff, sizeof(s->heap_sites));
	s->nheap_sizes = SNAP_HEAP_SIZES;
	s->nheap_ages = SNAP_HEAP_AGES;
	s->nheap_sites = SNAP_HEAP_SITES;
	snapshot_string(s->heap.allocator, sizeof(s->heap.allocator), text);
	snapshot_string(s->heap.words, sizeof(s->heap.words), text);
	s->heap.growth_bytes_s = NAN;
	s->heap.mapped_rate = INFINITY;
	s->heap_sites[0].nframes = 0;
	s->heap_sites[1].growth_bytes_s = -1e300;
	s->heap_sites[2].leak_score = 1e300;
}
