/* SPDX-License-Identifier: Apache-2.0 */
/* test_segment.c: a segment that lies is reported with its reason, and never harms the reader. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "collectors/segment.h"
#include "tests/fuzz/segment_image.h"

enum { BYTES = PERFTOP_SEGMENT_MIN_BYTES };

struct image {
	char *base;
	int fd;
};

static struct image open_image(int sealed)
{
	struct image im;

	im.fd = segment_image_new(BYTES, sealed, &im.base);
	assert_true(im.fd >= 0);
	return im;
}

static void close_image(struct image *im)
{
	munmap(im->base, BYTES);
	close(im->fd);
}

static void check_good(struct segment *s)
{
	const struct segment_metric *m;

	assert_non_null(s);
	assert_int_equal(segment_refresh(s), 0);
	assert_int_equal(segment_count(s), 3);
	m = segment_metric(s, 0);
	assert_string_equal(m->name, "metric.0");
	assert_int_equal(m->value, 42);
	assert_null(m->bins);
	assert_int_equal(segment_metric(s, 1)->value, -7);
	m = segment_metric(s, 2);
	assert_int_equal(m->count, 3);
	assert_int_equal(m->sum, 300);
	assert_int_equal(m->max, 100);
	assert_int_equal(m->bins[bucket_index(100)], 3);
	assert_null(segment_metric(s, 3));
}

static void a_good_segment_reads_the_same_in_place_and_copied(void **state)
{
	for (int sealed = 0; sealed < 2; sealed++) {
		struct image im = open_image(sealed);
		char why[128];
		int err;
		struct segment *s = segment_open(dup(im.fd), &err, why, sizeof(why));

		check_good(s);
		segment_free(s);
		close_image(&im);
	}
}

#define HEAD(f, v, reason)                                                  \
	{                                                                   \
		"header " #f, offsetof(struct perftop_segment, f),          \
			sizeof(((struct perftop_segment *)0)->f), v, reason \
	}
#define METRIC(i, f, v, reason)                                                        \
	{                                                                              \
		"metric " #f,                                                          \
			PERFTOP_METRICS_OFFSET + (i) * sizeof(struct perftop_metric) + \
				offsetof(struct perftop_metric, f),                    \
			4, v, reason                                                   \
	}
#define BINS(f, v, reason)                                                          \
	{                                                                           \
		"bins " #f, PERFTOP_BINS_OFFSET + offsetof(struct perftop_bins, f), \
			sizeof(((struct perftop_bins *)0)->f), v, reason            \
	}

static const struct lie {
	const char *what;
	uint64_t offset;
	size_t size;
	uint64_t value;
	const char *reason;
} lies[] = {
	HEAD(magic, 0, "magic"),
	HEAD(magic, 0x4242424242424242, "magic"),
	HEAD(version, 2, "version is 2, not 1"),
	HEAD(header_bytes, 0, "header_bytes"),
	HEAD(total_bytes, UINT64_MAX, "total_bytes"),
	HEAD(total_bytes, BYTES - 1, "total_bytes"),
	HEAD(gauges_offset, UINT64_MAX - 7, "gauges_offset"),
	HEAD(metrics_offset, BYTES, "metrics_offset"),
	HEAD(shards_offset, 1, "shards_offset"),
	HEAD(shared_offset, UINT64_MAX, "shared_offset"),
	HEAD(bins_offset, BYTES - 8, "bins_offset"),
	HEAD(metric_bytes, 0, "metric_bytes"),
	HEAD(shard_bytes, UINT32_MAX, "shard_bytes"),
	HEAD(bins_bytes, 1, "bins_bytes"),
	HEAD(bucket_count, UINT32_MAX, "bucket_count"),
	HEAD(max_metrics, UINT32_MAX, "max_metrics"),
	HEAD(max_shards, 0, "max_shards"),
	HEAD(max_bins, UINT32_MAX, "max_bins"),
	HEAD(slots, UINT32_MAX, "slots"),
	HEAD(metrics, UINT32_MAX, "metrics are 4294967295"),
	HEAD(metrics, PERFTOP_MAX_METRICS + 1, "metrics are 1025"),
	HEAD(metrics, 4, "of kind 0"),
	HEAD(shards, UINT32_MAX, "shards are"),
	HEAD(shards, PERFTOP_SHARDS, "shards are"),
	HEAD(bins, UINT32_MAX, "bins are"),
	METRIC(0, kind, 0, "metric 0 is of kind 0"),
	METRIC(1, kind, 4, "metric 1 is of kind 4"),
	METRIC(2, kind, UINT32_MAX, "of kind"),
	METRIC(2, kind, PERFTOP_COUNTER, "no histogram"),
	METRIC(1, name, 0, "metric 1 has no name"),
	BINS(slot, PERFTOP_SLOTS, "slot 1025"),
	BINS(slot, UINT32_MAX, "slot 4294967295"),
	BINS(slot, 1, "no histogram"),
};

/* Tell one lie to a reader about to open, or already open. */
static void tell(const struct lie *lie, int sealed)
{
	struct image im = open_image(sealed);
	char why[192] = "";
	struct segment *s;
	int err = 0;

	memcpy(im.base + lie->offset, &lie->value, lie->size);
	s = segment_open(dup(im.fd), &err, why, sizeof(why));
	if (s || err != -EBADMSG || !strstr(why, lie->reason))
		print_error("%s = %llu: %d, \"%s\"\n", lie->what, (unsigned long long)lie->value,
			    err, why);
	assert_null(s);
	assert_int_equal(err, -EBADMSG);
	assert_non_null(strstr(why, lie->reason));
	close_image(&im);
}

static void each_lie_is_reported_with_its_reason(void **state)
{
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		for (int sealed = 0; sealed < 2; sealed++)
			tell(&lies[i], sealed);
}

static void a_header_that_turns_bad_is_reported_at_the_next_refresh(void **state)
{
	char why[128];
	int err;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct image im;
		struct segment *s;

		if (lies[i].offset >= PERFTOP_GAUGES_OFFSET)
			continue;
		im = open_image(1);
		s = segment_open(dup(im.fd), &err, why, sizeof(why));
		assert_non_null(s);
		memcpy(im.base + lies[i].offset, &lies[i].value, lies[i].size);
		assert_int_equal(segment_refresh(s), -EBADMSG);
		assert_non_null(strstr(segment_why(s), lies[i].reason));
		segment_free(s);
		close_image(&im);
	}
}

static void texts_without_end_are_reported(void **state)
{
	const size_t at[] = {offsetof(struct perftop_metric, name),
			     offsetof(struct perftop_metric, unit),
			     offsetof(struct perftop_metric, help)};
	const size_t size[] = {96, 16, 136};
	char why[128];
	int err;

	for (int i = 0; i < 3; i++) {
		struct image im = open_image(1);

		memset(im.base + PERFTOP_METRICS_OFFSET + at[i], 'x', size[i]);
		assert_null(segment_open(dup(im.fd), &err, why, sizeof(why)));
		assert_int_equal(err, -EBADMSG);
		assert_non_null(strstr(why, "no end"));
		close_image(&im);
	}
}

static void control_characters_never_reach_the_terminal(void **state)
{
	struct image im = open_image(1);
	struct perftop_metric *m = (void *)(im.base + PERFTOP_METRICS_OFFSET);
	struct segment *s;
	char why[128];
	int err;

	strcpy(m->name, "\033[2Jbad\x9b\x01");
	strcpy(m->help, "a\nb\177\xc2\x9b");
	s = segment_open(dup(im.fd), &err, why, sizeof(why));
	assert_non_null(s);
	for (const char *p = segment_metric(s, 0)->name; *p; p++)
		assert_in_range(*p, ' ', '~');
	for (const char *p = segment_metric(s, 0)->help; *p; p++)
		assert_in_range(*p, ' ', '~');
	segment_free(s);
	close_image(&im);
}

static void a_file_cut_short_is_reported(void **state)
{
	const off_t sizes[] = {1, 64, 4096, 1 << 20, BYTES - 4096};
	char why[128];
	int err;

	for (int i = 0; i < 5; i++) {
		struct image im = open_image(0);

		assert_int_equal(ftruncate(im.fd, sizes[i]), 0);
		assert_null(segment_open(dup(im.fd), &err, why, sizeof(why)));
		assert_int_equal(err, -EBADMSG);
		close_image(&im);
	}
}

static void a_file_cut_under_the_reader_is_reported_not_a_crash(void **state)
{
	const off_t sizes[] = {0, 4096, PERFTOP_SHARDS_OFFSET + 8, PERFTOP_BINS_OFFSET + 8};
	char why[128];
	int err;

	for (int i = 0; i < 4; i++) {
		struct image im = open_image(0);
		struct segment *s = segment_open(dup(im.fd), &err, why, sizeof(why));

		check_good(s);
		assert_int_equal(ftruncate(im.fd, sizes[i]), 0);
		assert_int_equal(segment_refresh(s), -EBADMSG);
		segment_free(s);
		close_image(&im);
	}
}

static void empty_claims_do_not_fill_memory(void **state)
{
	struct perftop_segment *h;
	char why[128], *base;
	int fd, err;

	fd = segment_image_new(PERFTOP_SEGMENT_BYTES, 1, &base);
	assert_true(fd >= 0);
	h = (void *)base;
	h->bins = h->max_bins;
	assert_null(segment_open(dup(fd), &err, why, sizeof(why)));
	assert_int_equal(err, -EBADMSG);
	assert_non_null(strstr(why, "claims"));
	munmap(base, PERFTOP_SEGMENT_BYTES);
	close(fd);
}

static int spoiling;

static void *spoil(void *arg)
{
	const struct image *im = arg;
	uint64_t x = 88172645463325252ull;
	uint64_t good[64];

	memcpy(good, im->base, sizeof(good));
	while (__atomic_load_n(&spoiling, __ATOMIC_RELAXED)) {
		const uint64_t areas[] = {0, PERFTOP_METRICS_OFFSET, PERFTOP_SHARDS_OFFSET,
					  PERFTOP_BINS_OFFSET};
		uint64_t at;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		at = areas[x & 3] + (x >> 8) % 512 / 8 * 8;
		__atomic_store_n((uint64_t *)(im->base + at), x, __ATOMIC_RELAXED);
		/* Mend the header, so that readers get past it. */
		if (at < 512)
			__atomic_store_n((uint64_t *)(im->base + at), good[at / 8],
					 __ATOMIC_RELAXED);
	}
	return NULL;
}

static void a_segment_that_changes_under_the_reader_does_no_harm(void **state)
{
	struct image im = open_image(1);
	char why[192];
	pthread_t id;

	spoiling = 1;
	assert_int_equal(pthread_create(&id, NULL, spoil, &im), 0);
	for (int i = 0; i < 2000; i++) {
		int err = 0;
		struct segment *s = segment_open(dup(im.fd), &err, why, sizeof(why));

		assert_true(s || err == -EBADMSG);
		if (s)
			err = segment_refresh(s);
		assert_true(!err || err == -EBADMSG);
		segment_free(s);
	}
	__atomic_store_n(&spoiling, 0, __ATOMIC_RELAXED);
	pthread_join(id, NULL);
	close_image(&im);
}

/* ---- finding it in a process ---------------------------------------------------------------- */

/* A child that holds a segment and runs f, until its parent lets go. */
struct child {
	pid_t pid;
	int hold;
};

static struct child start_child(void (*f)(struct image *), struct image *im)
{
	struct child c;
	int to[2], from[2];
	char byte = 0;

	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	c.pid = fork();
	assert_true(c.pid >= 0);
	if (!c.pid) {
		close(to[1]);
		((struct perftop_segment *)im->base)->pid = (uint32_t)getpid();
		f(im);
		if (write(from[1], "r", 1) != 1)
			_exit(1);
		_exit(read(to[0], &byte, 1) != 0);
	}
	close(to[0]);
	close(from[1]);
	assert_int_equal(read(from[0], &byte, 1), 1);
	close(from[0]);
	c.hold = to[1];
	return c;
}

static void end_child(struct child *c)
{
	int status;

	close(c->hold);
	waitpid(c->pid, &status, 0);
}

static void keep(struct image *im)
{
}

static void close_fd(struct image *im)
{
	close(im->fd);
}

static void found_in_a_process(int sealed, void (*f)(struct image *))
{
	struct image im = open_image(sealed);
	struct child c = start_child(f, &im);
	char why[128] = "";
	int err = 0;
	struct segment *s = segment_attach(c.pid, &err, why, sizeof(why));

	if (!s)
		print_error("%d: %s\n", err, why);
	check_good(s);
	end_child(&c);
	assert_int_equal(segment_refresh(s), -ESRCH);
	/* The last values stay. */
	assert_int_equal(segment_metric(s, 0)->value, 42);
	segment_free(s);
	close_image(&im);
}

static void found_by_descriptor_and_gone_with_the_process(void **state)
{
	found_in_a_process(1, keep);
	found_in_a_process(0, keep);
}

static void found_by_mapping_when_the_program_closed_its_descriptors(void **state)
{
	found_in_a_process(1, close_fd);
	found_in_a_process(0, close_fd);
}

static void a_process_without_counters_is_said_so(void **state)
{
	char why[128] = "";
	int err = 0;
	struct image im = open_image(1);
	struct child c = start_child(keep, &im);

	((struct perftop_segment *)im.base)->pid = 1; /* as if inherited */
	assert_null(segment_attach(c.pid, &err, why, sizeof(why)));
	assert_int_equal(err, -ENOENT);
	assert_non_null(strstr(why, "libperftop"));
	end_child(&c);
	assert_null(segment_attach(c.pid, &err, why, sizeof(why)));
	assert_int_equal(err, -ESRCH);
	close_image(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_segment_reads_the_same_in_place_and_copied),
		cmocka_unit_test(each_lie_is_reported_with_its_reason),
		cmocka_unit_test(a_header_that_turns_bad_is_reported_at_the_next_refresh),
		cmocka_unit_test(texts_without_end_are_reported),
		cmocka_unit_test(control_characters_never_reach_the_terminal),
		cmocka_unit_test(a_file_cut_short_is_reported),
		cmocka_unit_test(a_file_cut_under_the_reader_is_reported_not_a_crash),
		cmocka_unit_test(empty_claims_do_not_fill_memory),
		cmocka_unit_test(a_segment_that_changes_under_the_reader_does_no_harm),
		cmocka_unit_test(found_by_descriptor_and_gone_with_the_process),
		cmocka_unit_test(found_by_mapping_when_the_program_closed_its_descriptors),
		cmocka_unit_test(a_process_without_counters_is_said_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
