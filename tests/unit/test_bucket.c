/* SPDX-License-Identifier: Apache-2.0 */
/* test_bucket.c: the histogram arithmetic keeps its promises on every bucket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "probes/bucket.h"

/* The header once more, as eBPF programs compile it, under other names. */
#undef PERFTOP_BUCKET_H
#define __bpf__
#define bucket_log2  ebpf_log2
#define bucket_index ebpf_index
#define bucket_low   ebpf_low
#define bucket_width ebpf_width
#define bucket_mid   ebpf_mid
#include "probes/bucket.h" /* NOLINT(readability-duplicate-include) */
#undef bucket_log2
#undef bucket_index
#undef bucket_low
#undef bucket_width
#undef bucket_mid
#undef __bpf__

static const uint64_t limit = 1ull << BUCKET_MAX_BITS;

static void every_bucket_holds_its_own_edges(void **state)
{
	for (unsigned int i = 0; i < BUCKET_COUNT; i++) {
		uint64_t low = bucket_low(i), high = low + bucket_width(i) - 1;

		assert_int_equal(bucket_index(low), i);
		assert_int_equal(bucket_index(high), i);
		assert_in_range(bucket_mid(i), low, high);
	}
}

static void buckets_leave_no_gap_and_do_not_overlap(void **state)
{
	assert_int_equal(bucket_low(0), 0);
	for (unsigned int i = 1; i < BUCKET_COUNT; i++)
		assert_int_equal(bucket_low(i), bucket_low(i - 1) + bucket_width(i - 1));
	assert_int_equal(bucket_low(BUCKET_COUNT - 1) + bucket_width(BUCKET_COUNT - 1), limit);
}

static void the_reported_value_is_within_1_6_percent(void **state)
{
	for (unsigned int i = 1; i < BUCKET_COUNT; i++) {
		uint64_t low = bucket_low(i), high = low + bucket_width(i) - 1, mid = bucket_mid(i);

		assert_true((mid - low) * 64 <= low);
		assert_true((high - mid) * 64 <= high);
	}
}

static void small_values_are_exact(void **state)
{
	for (uint64_t v = 0; v < 2 * BUCKET_SUB; v++)
		assert_int_equal(bucket_mid(bucket_index(v)), v);
}

static void values_too_large_fall_into_the_last_bucket(void **state)
{
	assert_int_equal(bucket_index(limit - 1), BUCKET_COUNT - 1);
	assert_int_equal(bucket_index(limit), BUCKET_COUNT - 1);
	assert_int_equal(bucket_index(UINT64_MAX), BUCKET_COUNT - 1);
}

static void the_index_never_falls_as_the_value_grows(void **state)
{
	unsigned int last = 0;

	for (uint64_t v = 0; v < 2 * limit; v += v / 100 + 1) {
		unsigned int i = bucket_index(v);

		assert_true(i >= last && i < BUCKET_COUNT);
		assert_int_equal(ebpf_index(v), i); /* kernel and user agree */
		last = i;
	}
}

static void the_logarithm_is_exact_at_each_power_of_two(void **state)
{
	for (unsigned int i = 0; i < 64; i++) {
		assert_int_equal(bucket_log2(1ull << i), i);
		assert_int_equal(bucket_log2((1ull << i) | ((1ull << i) - 1)), i);
		/* Larger ones have the last bucket without it. */
		if (i < BUCKET_MAX_BITS) {
			assert_int_equal(ebpf_log2(1ull << i), i);
			assert_int_equal(ebpf_log2((1ull << i) | ((1ull << i) - 1)), i);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bucket_holds_its_own_edges),
		cmocka_unit_test(buckets_leave_no_gap_and_do_not_overlap),
		cmocka_unit_test(the_reported_value_is_within_1_6_percent),
		cmocka_unit_test(small_values_are_exact),
		cmocka_unit_test(values_too_large_fall_into_the_last_bucket),
		cmocka_unit_test(the_index_never_falls_as_the_value_grows),
		cmocka_unit_test(the_logarithm_is_exact_at_each_power_of_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
