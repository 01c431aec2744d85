/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_heap_reader.c: a heap segment that lies is reported, and sites are ranked as they deserve.
 * Long because each lie is a case, over one segment.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collectors/heap_sites.h"

/* ---- a segment made by hand -------------------------------------------------------------------
 */

static char *base;
static int image_fd;

static struct heap_segment_header *header(void)
{
	return (struct heap_segment_header *)base;
}

static struct heap_state *state(void)
{
	return (struct heap_state *)(base + HEAP_STATE_OFFSET);
}

static void make_image(int sealed)
{
	struct heap_segment_header *h;

	image_fd = memfd_create(HEAP_SEGMENT_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(image_fd >= 0);
	assert_int_equal(ftruncate(image_fd, HEAP_SEGMENT_BYTES), 0);
	if (sealed)
		assert_int_equal(fcntl(image_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	base = mmap(NULL, HEAP_SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, image_fd, 0);
	assert_true(base != MAP_FAILED);
	h = header();
	*h = (struct heap_segment_header){
		.magic = HEAP_SEGMENT_MAGIC,
		.version = HEAP_SEGMENT_VERSION,
		.header_bytes = sizeof(*h),
		.total_bytes = HEAP_SEGMENT_BYTES,
		.control_offset = HEAP_CONTROL_OFFSET,
		.state_offset = HEAP_STATE_OFFSET,
		.pauses_offset = HEAP_PAUSES_OFFSET,
		.shards_offset = HEAP_SHARDS_OFFSET,
		.table_offset = HEAP_TABLE_OFFSET,
		.infos_offset = HEAP_INFOS_OFFSET,
		.ring_offset = HEAP_RING_OFFSET,
		.shard_bytes = HEAP_SHARD_BYTES,
		.shards = HEAP_SHARDS,
		.classes = HEAP_CLASSES,
		.table = HEAP_TABLE,
		.ring_bytes = HEAP_RING_BYTES,
		.record_bytes = sizeof(struct heap_record),
		.bucket_count = BUCKET_COUNT,
		.regs = HEAP_REGS,
		.size_from = HEAP_SIZE_CHUNK,
		.from = HEAP_FROM_START,
		.cookie = 0x1234567890abcdef,
		.allocator = "libc.so.6",
	};
}

static void drop_image(void)
{
	munmap(base, HEAP_SEGMENT_BYTES);
	close(image_fd);
}

static struct heap_segment *open_image(int *err, char *why, size_t size)
{
	return heap_segment_open(dup(image_fd), err, why, size);
}

/* A sound sample at the ring's head. */
static struct heap_record *add_record(uint32_t kind, uint64_t id)
{
	uint64_t at = state()->head;
	struct heap_record *r = (void *)(base + HEAP_RING_OFFSET + at % HEAP_RING_BYTES);

	*r = (struct heap_record){
		.seal = header()->cookie ^ at,
		.total_bytes = sizeof(*r) + 128,
		.kind = kind,
		.time_ns = 1,
		.id = id,
		.bytes = 100,
		.mean_bytes = 1000,
		.index = 7,
		.slice_bytes = 100,
	};
	state()->head += r->total_bytes;
	return r;
}

static uint32_t seen;

static void count_event(void *arg, const struct heap_event *e)
{
	const char *slice = e->slice;
	volatile char sum = 0;

	seen++;
	assert_true(e->index < HEAP_TABLE && e->slice_bytes <= HEAP_SLICE_MAX);
	for (size_t i = 0; i < e->slice_bytes; i++)
		sum += slice[i];
}

/* ---- lies ------------------------------------------------------------------------------------ */

#define LIE(f, v)                                                       \
	{                                                               \
#f, offsetof(struct heap_segment_header, f),            \
			sizeof(((struct heap_segment_header *)0)->f), v \
	}

static const struct {
	const char *name;
	size_t offset, size;
	uint64_t value;
} lies[] = {
	LIE(magic, 0),
	LIE(magic, UINT64_MAX),
	LIE(version, HEAP_SEGMENT_VERSION + 1),
	LIE(header_bytes, 0),
	LIE(total_bytes, UINT64_MAX),
	LIE(control_offset, UINT64_MAX - 7),
	LIE(state_offset, HEAP_SEGMENT_BYTES),
	LIE(pauses_offset, 1),
	LIE(shards_offset, UINT64_MAX),
	LIE(table_offset, 0),
	LIE(infos_offset, 0),
	LIE(ring_offset, HEAP_SEGMENT_BYTES - 8),
	LIE(shard_bytes, 0),
	LIE(shards, UINT32_MAX),
	LIE(classes, UINT32_MAX),
	LIE(table, 0),
	LIE(ring_bytes, UINT32_MAX),
	LIE(record_bytes, 1),
	LIE(bucket_count, 0),
	LIE(regs, 0),
	LIE(size_from, 9),
	LIE(from, 0),
};

static void each_lie_in_the_header_is_reported_by_its_name(void **unused)
{
	char why[256];
	int err;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		make_image(1);
		memcpy(base + lies[i].offset, &lies[i].value, lies[i].size);
		assert_null(open_image(&err, why, sizeof(why)));
		assert_int_equal(err, -EBADMSG);
		assert_non_null(strstr(why, lies[i].name));
		drop_image();
	}
	make_image(1);
	memset(header()->allocator, 'x', sizeof(header()->allocator));
	assert_null(open_image(&err, why, sizeof(why)));
	assert_non_null(strstr(why, "no end"));
	drop_image();
}

static void a_segment_that_could_shrink_under_the_reader_is_refused(void **unused)
{
	char why[256];
	int err;

	make_image(0);
	assert_null(open_image(&err, why, sizeof(why)));
	assert_int_equal(err, -EBADMSG);
	assert_non_null(strstr(why, "not sealed"));
	drop_image();
}

static void control_characters_of_the_allocator_never_reach_the_terminal(void **unused)
{
	struct heap_segment *s;
	char why[256];
	int err;

	make_image(1);
	strcpy(header()->allocator, "\033[2J\x9b\n");
	s = open_image(&err, why, sizeof(why));
	assert_non_null(s);
	for (const char *p = heap_segment_totals(s)->allocator; *p; p++)
		assert_in_range(*p, ' ', '~');
	heap_segment_free(s);
	drop_image();
}

/* One record spoiled after a good one: the good one is handed over, the spoiled one reported. */
static void check_bad_record(void (*spoil)(struct heap_record *r))
{
	struct heap_segment *s;
	struct heap_record *r;
	char why[256];
	int err;

	make_image(1);
	s = open_image(&err, why, sizeof(why));
	assert_non_null(s);
	add_record(HEAP_RECORD_ALLOC, 1);
	r = add_record(HEAP_RECORD_ALLOC, 2);
	spoil(r);
	seen = 0;
	assert_int_equal(heap_segment_drain(s, count_event, NULL), -EBADMSG);
	assert_int_equal(seen, 1);
	assert_true(heap_segment_why(s)[0] != '\0');
	assert_int_equal(heap_segment_drain(s, count_event, NULL), -EBADMSG);
	heap_segment_free(s);
	drop_image();
}

static void spoil_size_zero(struct heap_record *r)
{
	r->total_bytes = 0;
}

static void spoil_size_large(struct heap_record *r)
{
	r->total_bytes = HEAP_RING_BYTES;
}

static void spoil_size_odd(struct heap_record *r)
{
	r->total_bytes += 8;
}

static void spoil_kind(struct heap_record *r)
{
	r->kind = 77;
}

static void spoil_index(struct heap_record *r)
{
	r->index = HEAP_TABLE;
}

static void spoil_slice(struct heap_record *r)
{
	r->slice_bytes = UINT32_MAX;
}

static void spoil_slice_by_one(struct heap_record *r)
{
	r->slice_bytes = r->total_bytes - sizeof(*r) + 1;
}

static void spoil_mean(struct heap_record *r)
{
	r->mean_bytes = 0;
}

static void a_bad_record_is_reported_and_reads_nothing_outside(void **unused)
{
	check_bad_record(spoil_size_zero);
	check_bad_record(spoil_size_large);
	check_bad_record(spoil_size_odd);
	check_bad_record(spoil_kind);
	check_bad_record(spoil_index);
	check_bad_record(spoil_slice);
	check_bad_record(spoil_slice_by_one);
	check_bad_record(spoil_mean);
}

static void a_ring_or_shards_out_of_bounds_are_reported(void **unused)
{
	struct heap_segment *s;
	char why[256];
	int err;

	make_image(1);
	s = open_image(&err, why, sizeof(why));
	assert_non_null(s);
	state()->head = HEAP_RING_BYTES + 64;
	assert_int_equal(heap_segment_drain(s, count_event, NULL), -EBADMSG);
	state()->head = 8;
	assert_int_equal(heap_segment_drain(s, count_event, NULL), -EBADMSG);
	state()->head = 0;
	assert_int_equal(heap_segment_drain(s, count_event, NULL), 0);
	state()->shards = HEAP_THREADS + 1;
	assert_int_equal(heap_segment_refresh(s), -EBADMSG);
	state()->shards = HEAP_THREADS; /* allowed, but it has not that many pages */
	assert_int_equal(heap_segment_refresh(s), -EBADMSG);
	heap_segment_free(s);
	drop_image();
}

static void an_unfinished_record_is_waited_for_and_those_behind_it_too(void **unused)
{
	struct heap_segment *s;
	struct heap_record *r;
	char why[256];
	int err;

	make_image(1);
	s = open_image(&err, why, sizeof(why));
	assert_non_null(s);
	r = add_record(HEAP_RECORD_ALLOC, 1);
	add_record(HEAP_RECORD_ALLOC, 2);
	r->seal ^= 1;
	seen = 0;
	assert_int_equal(heap_segment_drain(s, count_event, NULL), 0);
	r->seal ^= 1;
	assert_int_equal(heap_segment_drain(s, count_event, NULL), 2);
	assert_int_equal(seen, 2);
	heap_segment_free(s);
	drop_image();
}

/* ---- sites, by samples made up ----------------------------------------------------------------
 */

#define SECOND 1000000000ull

static uint32_t stack_of_id(void *arg, const struct heap_event *e, uint32_t *ids, uint32_t max)
{
	ids[0] = e->tid; /* the site */
	ids[1] = 1;
	return 2;
}

struct world {
	struct heap_sites *h;
	struct heap_segment *s;
	struct heap_report *r;
	uint64_t next;
};

static void make_world(struct world *w)
{
	char why[256];
	int err;

	make_image(1);
	w->s = open_image(&err, why, sizeof(why));
	w->h = heap_sites_new(stack_of_id, NULL);
	w->r = calloc(1, sizeof(*w->r));
	w->next = 0;
	assert_true(w->s && w->h && w->r);
}

static void drop_world(struct world *w)
{
	heap_sites_free(w->h);
	heap_segment_free(w->s);
	free(w->r);
	drop_image();
}

static struct heap_event sample(struct world *w, uint32_t site, uint64_t ns, uint64_t bytes)
{
	struct heap_event e = {
		.kind = HEAP_RECORD_ALLOC,
		.op = HEAP_OP_ALLOC,
		.time_ns = ns,
		.bytes = bytes,
		.mean_bytes = 1000,
		.tid = site,
	};

	e.index = (uint32_t)w->next;
	e.id = ++w->next;
	heap_sites_event(w->h, &e);
	return e;
}

static void release(struct world *w, struct heap_event e, uint64_t ns)
{
	e.kind = HEAP_RECORD_FREE;
	e.time_ns = ns;
	heap_sites_event(w->h, &e);
}

enum { LEAK = 10, CACHE, YOUNG, CHURN };

static void growth_and_age_make_a_suspect_not_age_alone(void **unused)
{
	struct heap_event churn[60], *c = churn;
	struct world w;

	make_world(&w);
	for (int i = 0; i < 500; i++) /* much, and older than anything else */
		sample(&w, CACHE, SECOND, 10000);
	for (int t = 2; t <= 61; t++) {
		for (int i = 0; i < 5; i++)
			sample(&w, LEAK, t * SECOND, 2000);
		if (t % 10 == 0) /* a little more now and then */
			sample(&w, CACHE, t * SECOND, 10000);
		*c = sample(&w, CHURN, t * SECOND, 50000);
		if (c > churn)
			release(&w, c[-1], t * SECOND + 1);
		c++;
		if (t > 50) /* rises as steeply, but of late */
			for (int i = 0; i < 20; i++)
				sample(&w, YOUNG, t * SECOND, 2000);
		assert_int_equal(heap_sites_update(w.h, w.s, t * SECOND), 0);
	}
	heap_sites_report(w.h, 61 * SECOND, w.r);
	assert_true(w.r->nsuspects > 0);
	assert_int_equal(w.r->suspects[0].frames[0], LEAK);
	assert_true(w.r->suspects[0].leak_score > 80);
	assert_int_equal(w.r->top[0].frames[0], CACHE);
	assert_true(w.r->top[0].leak_score > 0 && w.r->top[0].leak_score < 5);
	for (uint32_t i = 1; i < w.r->nsuspects; i++)
		assert_true(w.r->suspects[i].leak_score < 20);
	/* 5 samples a second of 2,000 bytes, each for 1 / (1 - exp(-2)) objects. */
	assert_true(fabs(w.r->suspects[0].growth_bytes - 5 * 2000 / -expm1(-2)) < 600);
	drop_world(&w);
}

static void samples_count_for_what_they_stand_for(void **unused)
{
	const double small = 1 / -expm1(-0.01), large = 1 / -expm1(-50.0);
	struct world w;

	make_world(&w);
	sample(&w, LEAK, SECOND, 10);
	sample(&w, CACHE, SECOND, 50000);
	heap_sites_report(w.h, 2 * SECOND, w.r);
	assert_true(fabs(w.r->live_objects - small - large) < 1e-6);
	assert_true(fabs(w.r->live_bytes - 10 * small - 50000 * large) < 1e-3);
	assert_int_equal(w.r->top[0].frames[0], CACHE);
	assert_true(fabs(w.r->top[1].live_objects - small) < 1e-6);
	drop_world(&w);
}

static void ages_fall_into_their_generations(void **unused)
{
	const uint64_t now = 2000 * SECOND;
	const uint64_t ages[] = {SECOND - 1, 10 * SECOND - 1, 10 * SECOND, 60 * SECOND,
				 600 * SECOND};
	struct world w;

	make_world(&w);
	for (int i = 0; i < HEAP_GENERATIONS; i++)
		for (int k = 0; k <= i; k++)
			sample(&w, LEAK, now - ages[i], 100000);
	heap_sites_report(w.h, now, w.r);
	for (int i = 0; i < HEAP_GENERATIONS; i++) {
		assert_true(fabs(w.r->generation_objects[i] - (i + 1)) < 1e-6);
		assert_true(fabs(w.r->generation_bytes[i] - 100000 * (i + 1)) < 1);
	}
	assert_in_range(w.r->top[0].age_p50_ns, 50 * SECOND, 70 * SECOND);
	drop_world(&w);
}

static void lifetimes_are_those_of_what_was_freed(void **unused)
{
	struct heap_event e;
	struct world w;

	make_world(&w);
	for (int i = 0; i < 90; i++) {
		e = sample(&w, CHURN, SECOND, 100000);
		release(&w, e, SECOND + 1000);
	}
	for (int i = 0; i < 10; i++) {
		e = sample(&w, CHURN, SECOND, 100000);
		release(&w, e, 2 * SECOND);
	}
	release(&w, e, 3 * SECOND); /* twice: not there any more */
	heap_sites_report(w.h, 4 * SECOND, w.r);
	assert_true(fabs(w.r->lifetimes[9] - 90) < 1e-6);
	assert_true(fabs(w.r->lifetimes[29] - 10) < 1e-6);
	/* Weighted like the objects: ten of 100,000 bytes each. */
	assert_true(fabs(w.r->lifetime_bytes[9] - 90 * 100000.0) < 1e-3);
	assert_true(fabs(w.r->lifetime_bytes[29] - 10 * 100000.0) < 1e-3);
	assert_in_range(w.r->lifetime_p50_ns, 512, 1023);
	assert_in_range(w.r->lifetime_p99_ns, 1 << 29, 1 << 30);
	assert_int_equal(w.r->live_samples, 0);
	assert_true(w.r->live_bytes == 0);
	drop_world(&w);
}

static void a_free_whose_record_was_lost_ends_the_sample_all_the_same(void **unused)
{
	struct heap_info *infos;
	uint64_t *table;
	struct world w;

	make_world(&w);
	table = (uint64_t *)(base + HEAP_TABLE_OFFSET);
	infos = (struct heap_info *)(base + HEAP_INFOS_OFFSET);
	for (int i = 0; i < 4; i++) {
		struct heap_event e = sample(&w, LEAK, SECOND, 100000);

		table[e.index] = 0x1000;
		infos[e.index].id = e.id;
	}
	table[1] = 0;	      /* freed */
	infos[2].id = 999999; /* freed, and its place taken by another */
	state()->lost_frees = 2;
	assert_int_equal(heap_sites_update(w.h, w.s, 2 * SECOND), 0);
	heap_sites_report(w.h, 2 * SECOND, w.r);
	assert_int_equal(w.r->live_samples, 2);
	assert_true(fabs(w.r->lifetime_unknown - 2) < 1e-6);
	drop_world(&w);
}

static void more_sites_than_there_is_room_for_become_other(void **unused)
{
	struct world w;

	make_world(&w);
	for (uint32_t i = 0; i < HEAP_SITES + 500; i++)
		sample(&w, 100 + i, SECOND, 100000);
	heap_sites_report(w.h, 2 * SECOND, w.r);
	assert_int_equal(w.r->nsites, HEAP_SITES - 1);
	assert_true(fabs(w.r->live_objects - (HEAP_SITES + 500)) < 1e-3);
	assert_int_equal(w.r->top[0].nframes, 0);
	assert_true(fabs(w.r->top[0].live_objects - 501) < 1e-3);
	drop_world(&w);
}

static void a_size_class_holds_the_sizes_up_to_its_top(void **unused)
{
	for (unsigned int i = 1; i < HEAP_CLASSES - 1; i++) {
		assert_int_equal(heap_class_of(heap_class_top(i)), i);
		assert_int_equal(heap_class_of(heap_class_top(i) + 1), i + 1);
	}
	assert_int_equal(heap_class_of(UINT64_MAX), HEAP_CLASSES - 1);
	assert_int_equal(heap_class_of(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_lie_in_the_header_is_reported_by_its_name),
		cmocka_unit_test(a_segment_that_could_shrink_under_the_reader_is_refused),
		cmocka_unit_test(control_characters_of_the_allocator_never_reach_the_terminal),
		cmocka_unit_test(a_bad_record_is_reported_and_reads_nothing_outside),
		cmocka_unit_test(a_ring_or_shards_out_of_bounds_are_reported),
		cmocka_unit_test(an_unfinished_record_is_waited_for_and_those_behind_it_too),
		cmocka_unit_test(growth_and_age_make_a_suspect_not_age_alone),
		cmocka_unit_test(samples_count_for_what_they_stand_for),
		cmocka_unit_test(ages_fall_into_their_generations),
		cmocka_unit_test(lifetimes_are_those_of_what_was_freed),
		cmocka_unit_test(a_free_whose_record_was_lost_ends_the_sample_all_the_same),
		cmocka_unit_test(more_sites_than_there_is_room_for_become_other),
		cmocka_unit_test(a_size_class_holds_the_sizes_up_to_its_top),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
