/* SPDX-License-Identifier: Apache-2.0 */
/* test_latency.c: rows from cumulative histograms: exact counts, quantiles, resets, intervals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collectors/latency.h"
#include "probes/contract.h"

struct fixture {
	struct latency_track track;
	uint64_t bins[BUCKET_COUNT];
	uint64_t count, sum, max, timed;
	struct snapshot *s;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->s = snapshot_new();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	latency_track_fini(&f->track);
	snapshot_free(f->s);
	free(f);
	return 0;
}

static void add(struct fixture *f, uint64_t v, uint64_t n)
{
	f->bins[bucket_index(v)] += n;
	f->count += n;
	f->sum += v * n;
	if (v > f->max)
		f->max = v;
}

static struct snap_latency *tick(struct fixture *f)
{
	struct latency_source_now now = {
		.count = f->count,
		.sum = f->sum,
		.max = f->max,
		.bins = f->bins,
		.timed = f->timed,
	};

	snapshot_clear(f->s);
	f->s->nlatency = 1;
	assert_int_equal(latency_track_update(&f->track, &now, 1000000000, f->s, f->s->latency), 0);
	return f->s->latency;
}

static void counts_and_quantiles_cover_all_since_attach(void **state)
{
	struct fixture *f = *state;
	struct snap_latency *row;

	add(f, 1000, 990);
	add(f, 1000000, 10);
	row = tick(f);
	assert_int_equal(row->count, 1000);
	assert_in_range(row->p50, 984, 1016);
	assert_in_range(row->p99, 984, 1016);
	assert_in_range(row->p999, 984000, 1016000);
	assert_int_equal(row->max, 1000000);
	assert_int_equal(row->mean, (990 * 1000 + 10 * 1000000) / 1000);
	assert_true(row->rate > 999.9 && row->rate < 1000.1);
	assert_int_equal(row->bin_count, 2);
	row = tick(f);
	assert_int_equal(row->count, 1000);
	assert_true(row->rate == 0);
	assert_int_equal(row->recent_p99, 0);
}

static void recent_quantiles_see_the_last_interval_alone(void **state)
{
	struct fixture *f = *state;
	struct snap_latency *row;

	add(f, 1000, 1000);
	tick(f);
	add(f, 50000, 10);
	row = tick(f);
	assert_in_range(row->recent_p50, 49200, 50800);
	assert_in_range(row->p50, 984, 1016);
	assert_int_equal(f->s->nbins, 2);
}

static void a_reset_begins_anew_and_forgets_the_old_maximum(void **state)
{
	struct fixture *f = *state;
	struct snap_latency *row;

	add(f, 9000000, 1);
	add(f, 100, 5);
	tick(f);
	latency_track_reset(&f->track);
	row = tick(f);
	assert_int_equal(row->count, 0);
	assert_int_equal(row->max, 0);
	assert_int_equal(row->bin_count, 0);
	add(f, 2000, 3);
	row = tick(f);
	assert_int_equal(row->count, 3);
	assert_in_range(row->p50, 1968, 2032);
	/* The exact maximum is older than the reset: the bucket's top stands in. */
	assert_in_range(row->max, 2000, 2063);
	assert_int_equal(row->mean, 2000);
	add(f, 10000000, 1);
	row = tick(f);
	assert_int_equal(row->max, 10000000);
}

static void what_was_timed_of_a_sample_is_said(void **state)
{
	struct fixture *f = *state;

	add(f, 1000, 610);
	assert_int_equal(tick(f)->sampled, 610); /* the source says nothing: all */
	f->timed = 10;
	assert_int_equal(tick(f)->sampled, 10);
	assert_int_equal(latency_track_reset(&f->track), 0);
	add(f, 1000, 5);
	assert_int_equal(tick(f)->sampled, 1); /* like one before the reset */
	f->timed = 12;
	add(f, 1000, 100);
	assert_int_equal(tick(f)->sampled, 2);
	f->timed = 1000; /* more than there were: not to be believed */
	assert_int_equal(tick(f)->sampled, 105);
}

static void calls_that_were_not_timed_took_what_those_beside_them_did(void **state)
{
	struct fixture *f = *state;

	/* Fast and timed in part, slow and timed in part, and some that wait for the next tick's.
	 */
	add(f, 100, 10);
	f->count += 90;
	assert_int_equal(tick(f)->sum, 100 * 100);
	add(f, 5000, 10);
	f->count += 10;
	assert_int_equal(tick(f)->sum, 100 * 100 + 20 * 5000);
	f->count += 5;
	assert_int_equal(tick(f)->sum, 100 * 100 + 25 * 5000);
	add(f, 1000, 1);
	assert_int_equal(tick(f)->sum, 100 * 100 + 20 * 5000 + 6 * 1000);
	assert_int_equal(latency_track_reset(&f->track), 0);
	add(f, 100, 3);
	assert_int_equal(tick(f)->sum, 300);
}

static void a_source_with_counts_alone_gives_no_quantiles(void **state)
{
	struct fixture *f = *state;
	struct latency_source_now now = {.count = 12};

	f->s->nlatency = 1;
	assert_int_equal(latency_track_update(&f->track, &now, 1000000000, f->s, f->s->latency), 0);
	assert_int_equal(f->s->latency[0].count, 12);
	assert_int_equal(f->s->latency[0].p99, 0);
	assert_int_equal(f->s->latency[0].bin_count, 0);
}

static void cpus_are_added_up(void **state)
{
	struct contract_hist *h = calloc(3, sizeof(*h));
	struct latency_sum sum;

	for (int cpu = 0; cpu < 3; cpu++) {
		h[cpu].bins[bucket_index(500)] = 2;
		h[cpu].count = 2;
		h[cpu].calls = 3;
		h[cpu].sum = 1000;
		h[cpu].max = 500 + (uint64_t)cpu;
	}
	latency_sum_cpus(&sum, h, 3, sizeof(*h));
	assert_int_equal(sum.count, 6);
	assert_int_equal(sum.calls, 9);
	assert_int_equal(sum.sum, 3000);
	assert_int_equal(sum.max, 502);
	assert_int_equal(sum.bins[bucket_index(500)], 6);
	free(h);
}

static void a_full_pool_of_bins_is_counted_not_overrun(void **state)
{
	struct fixture *f = *state;
	struct latency_source_now now;

	add(f, 1000, 1);
	add(f, 2000, 1);
	now = (struct latency_source_now){
		.count = f->count, .sum = f->sum, .max = f->max, .bins = f->bins};
	f->s->nlatency = 1;
	f->s->nbins = SNAP_BINS - 1;
	assert_int_equal(latency_track_update(&f->track, &now, 1000000000, f->s, f->s->latency), 0);
	assert_int_equal(f->s->nbins, SNAP_BINS);
	assert_true(f->s->truncated > 0);
	assert_int_equal(f->s->latency[0].count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(counts_and_quantiles_cover_all_since_attach, setup,
						teardown),
		cmocka_unit_test_setup_teardown(recent_quantiles_see_the_last_interval_alone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_reset_begins_anew_and_forgets_the_old_maximum,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_source_with_counts_alone_gives_no_quantiles,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			calls_that_were_not_timed_took_what_those_beside_them_did, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_timed_of_a_sample_is_said, setup,
						teardown),
		cmocka_unit_test(cpus_are_added_up),
		cmocka_unit_test_setup_teardown(a_full_pool_of_bins_is_counted_not_overrun, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
