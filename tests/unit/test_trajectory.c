/* SPDX-License-Identifier: Apache-2.0 */
/* test_trajectory.c: compact records within their error, and a buffer that loses nothing. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "kernels/trajectory/trajectory_ring.h"

static uint32_t random_state = 7;

static float random_float(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}

#define FOR_QUANTIZE_ROWS(row)                                                         \
	for (const struct kernel *row = kernels; row < kernels + kernels_count; row++) \
		if (row->kind == KERNEL_quantize && kernels_supported(row))

static void recorded_vectors_come_back_too_far_off(void **state)
{
	float x[TRAJECTORY_DIM + 1], *in = x + 1, out[TRAJECTORY_DIM];
	struct trajectory t;

	FOR_QUANTIZE_ROWS(k)
	{
		for (uint32_t n = 1; n <= TRAJECTORY_DIM; n++) {
			float max = 0, scale = n % 5 ? 3 : 1e-30f;

			for (uint32_t i = 0; i < n; i++) {
				in[i] = scale * random_float();
				max = fmaxf(max, fabsf(in[i]));
			}
			memset(&t, 0x55, sizeof(t));
			assert_int_equal(trajectory_begin(&t, k->run.quantize, 1, in, n, 5), 0);
			assert_int_equal(trajectory_add_step(&t, k->run.quantize, in, NULL, 1, 6),
					 0);
			assert_true(n == TRAJECTORY_DIM || t.query[n] == 0x55);
			trajectory_read_query(&t, out);
			for (uint32_t i = 0; i < n; i++)
				assert_true(fabsf(out[i] - in[i]) <= max / 254 * 1.0001f);
			assert_int_equal(trajectory_read_step(&t, 0, out), 0);
			for (uint32_t i = 0; i < n; i++)
				assert_true(fabsf(out[i] - in[i]) <= max / 254 * 1.0001f);
			assert_int_equal(trajectory_read_step(&t, 1, out), -EINVAL);
		}
		memset(x, 0, sizeof(x));
		assert_int_equal(trajectory_begin(&t, k->run.quantize, 1, in, 100, 5), 0);
		trajectory_read_query(&t, out);
		assert_true(out[0] == 0 && out[99] == 0);
	}
}

static void instruction_sets_record_different_codes(void **state)
{
	float x[TRAJECTORY_DIM];
	int8_t want[TRAJECTORY_DIM], got[TRAJECTORY_DIM];

	for (uint32_t n = 1; n <= TRAJECTORY_DIM; n++) {
		float scale;

		for (uint32_t i = 0; i < n; i++)
			x[i] = random_float();
		scale = quantize_i8_scalar(x, want, n);
		FOR_QUANTIZE_ROWS(k)
		{
			assert_true(k->run.quantize(x, got, n) == scale);
			assert_memory_equal(got, want, n);
		}
	}
}

static void steps_recorded_together_differ(void **state)
{
	float x[TRAJECTORY_STEPS * TRAJECTORY_DIM + 1], rewards[TRAJECTORY_STEPS];
	struct trajectory_attention attention;
	static struct trajectory one, all;

	memset(&attention, 7, sizeof(attention));
	for (const struct kernel *k = kernels; k < kernels + kernels_count; k++) {
		if (k->kind != KERNEL_quantize_rows || !kernels_supported(k))
			continue;
		for (uint32_t dim = 1; dim <= TRAJECTORY_DIM; dim += dim < 40 ? 1 : 23) {
			for (uint32_t steps = 0; steps <= TRAJECTORY_STEPS; steps++) {
				for (uint32_t i = 0; i < steps * dim; i++)
					x[i + 1] = random_float();
				for (uint32_t i = 0; i < steps; i++)
					rewards[i] = random_float();
				memset(&one, 0x55, sizeof(one));
				trajectory_begin(&one, quantize_i8_scalar, 1, rewards, 1, 5);
				one.dim = dim;
				all = one;
				for (uint32_t i = 0; i < steps; i++)
					trajectory_add_step(&one, quantize_i8_scalar,
							    x + 1 + i * dim, &attention, rewards[i],
							    9);
				assert_int_equal(trajectory_add_steps(&all, k->run.quantize_rows,
								      x + 1, steps, &attention,
								      rewards, 9),
						 0);
				assert_memory_equal(&one, &all, sizeof(one));
			}
		}
		assert_int_equal(all.nsteps, TRAJECTORY_STEPS);
		assert_int_equal(trajectory_add_steps(&all, k->run.quantize_rows, x, 1, NULL,
						      rewards, 9),
				 -ENOSPC);
	}
}

static void heavy_attention_weights_are_lost(void **state)
{
	enum { N = 300 };
	float w[N], sum = 0, dense[N] = {0}, kept = 0, l1 = 0;
	struct trajectory_attention a;

	for (int i = 0; i < N; i++)
		sum += w[i] = expf(6 * random_float());
	for (int i = 0; i < N; i++)
		w[i] /= sum;
	trajectory_keep_weights(&a, 3, w, N);
	for (int i = 0; i < TRAJECTORY_TOP; i++) {
		float weight = (float)a.top[3][i].weight / 65535;

		assert_true(!i || a.top[3][i].weight <= a.top[3][i - 1].weight);
		assert_true(fabsf(weight - w[a.top[3][i].key]) <= 1.0f / 65535);
		dense[a.top[3][i].key] = weight;
		kept += weight;
	}
	for (int i = 0; i < N; i++) {
		l1 += fabsf(dense[i] - w[i]);
		if (!(dense[i] > 0)) /* nothing that was left out beats anything kept */
			assert_true(w[i] <= w[a.top[3][TRAJECTORY_TOP - 1].key]);
	}
	assert_true(fabsf(kept + (float)a.rest[3] / 65535 - 1) < 1e-4f);
	assert_true(l1 <= 2 * (float)a.rest[3] / 65535 + 9 / 131070.0f + 1e-6f);
}

/* Against looking for the largest eight times; few values, so that many are equal; zeros and NaN.
 */
static void check_heaviest(uint32_t n, uint32_t values)
{
	float w[300];
	bool taken[300] = {false};
	struct trajectory_attention a;

	for (uint32_t i = 0; i < n; i++)
		w[i] = floorf((random_float() + 1) / 2 * (float)values) / (float)(values * 64);
	if (n > 20)
		w[n / 2] = NAN;
	trajectory_keep_weights(&a, 1, w, n);
	for (int k = 0; k < TRAJECTORY_TOP; k++) {
		uint32_t best = n;

		for (uint32_t i = 0; i < n; i++)
			if (!taken[i] && w[i] > (best < n ? w[best] : 0))
				best = i;
		assert_int_equal(a.top[1][k].key, best < n ? best : 0);
		assert_int_equal(a.top[1][k].weight, best < n ? lrintf(w[best] * 65535) : 0);
		if (best < n)
			taken[best] = true;
	}
}

static void kept_weights_are_not_the_heaviest(void **state)
{
	static const uint32_t values[] = {1, 2, 7, 50, 100000};

	for (uint32_t n = 1; n <= 300; n++)
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++)
			check_heaviest(n, values[v]);
}

static void a_record_overflows(void **state)
{
	static float x[TRAJECTORY_DIM + 1];
	struct trajectory t;

	assert_int_equal(trajectory_begin(&t, quantize_i8_scalar, 1, x, 0, 0), -EINVAL);
	assert_int_equal(trajectory_begin(&t, quantize_i8_scalar, 1, x, TRAJECTORY_DIM + 1, 0),
			 -EINVAL);
	assert_int_equal(trajectory_begin(&t, quantize_i8_scalar, 1, x, 16, 0), 0);
	for (int i = 0; i < TRAJECTORY_STEPS; i++)
		assert_int_equal(trajectory_add_step(&t, quantize_i8_scalar, x, NULL, 0, 0), 0);
	assert_int_equal(trajectory_add_step(&t, quantize_i8_scalar, x, NULL, 0, 0), -ENOSPC);
	assert_int_equal(trajectory_bytes(&t), sizeof(t));
}

static void ten_thousand_records_exceed_the_budget(void **state)
{
	assert_true(trajectory_ring_slots(100 * 1000 * 1000) >= 10000);
}

static void *slots_new(size_t slots)
{
	void *p = aligned_alloc(64, slots * sizeof(struct trajectory_slot));

	assert_non_null(p);
	return p;
}

static void a_full_buffer_overwrites_or_does_not_count(void **state)
{
	struct trajectory_writer w = {0};
	struct trajectory_ring r;
	void *storage = slots_new(3);

	assert_int_equal(trajectory_ring_init(&r, storage, sizeof(struct trajectory_slot)),
			 -EINVAL);
	assert_int_equal(trajectory_ring_init(&r, (char *)storage + 8, 1 << 20), -EINVAL);
	assert_int_equal(trajectory_ring_init(&r, storage, 3 * sizeof(struct trajectory_slot)), 0);
	assert_null(trajectory_ring_peek(&r));
	for (uint64_t lap = 0; lap < 10; lap++) {
		for (uint64_t i = 0; i < 5; i++) {
			struct trajectory *t = trajectory_ring_claim(&r, &w);

			assert_int_equal(!t, i >= 3);
			if (!t)
				continue;
			assert_null(i ? NULL : trajectory_ring_peek(&r)); /* claimed, not there */
			t->id = lap * 3 + i;
			trajectory_ring_publish(&r, &w);
		}
		assert_int_equal(trajectory_ring_used(&r), 3);
		for (uint64_t i = 0; i < 3; i++) {
			assert_int_equal(trajectory_ring_peek(&r)->id, lap * 3 + i);
			trajectory_ring_release(&r);
		}
		assert_null(trajectory_ring_peek(&r));
		assert_int_equal(trajectory_ring_used(&r), 0);
	}
	assert_int_equal(w.recorded, 30);
	assert_int_equal(w.dropped, 20);
	assert_int_equal(w.cas_attempts, 30);
	assert_int_equal(w.cas_failures, 0);
	free(storage);
}

/* The reader may not pass a record that is claimed and not yet whole, nor may others wait for it.
 */
static void a_slow_writer_blocks_others_or_is_read_half_done(void **state)
{
	struct trajectory_writer slow = {0}, quick = {0};
	struct trajectory_ring r;
	void *storage = slots_new(4);
	struct trajectory *t;

	assert_int_equal(trajectory_ring_init(&r, storage, 4 * sizeof(struct trajectory_slot)), 0);
	t = trajectory_ring_claim(&r, &slow);
	assert_non_null(t);
	for (uint64_t i = 1; i < 4; i++) {
		struct trajectory *q = trajectory_ring_claim(&r, &quick);

		assert_non_null(q);
		q->id = i;
		trajectory_ring_publish(&r, &quick);
	}
	assert_null(trajectory_ring_claim(&r, &quick));
	assert_null(trajectory_ring_peek(&r));
	t->id = 0;
	trajectory_ring_publish(&r, &slow);
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(trajectory_ring_peek(&r)->id, i);
		trajectory_ring_release(&r);
	}
	free(storage);
}

enum { WRITERS = 4, EACH = 20000, SLOTS = 8 };

struct race_writer {
	struct race *race;
	struct trajectory_writer w;
	uint64_t index;
	bool kept[EACH]; /* the writer's own record of what was not dropped */
};

struct race {
	struct trajectory_ring ring;
	struct race_writer writer[WRITERS];
	uint64_t done;
};

/*
 * So that who makes room, or fills it, has its turn. Beside other programs sched_yield() gives up a
 * whole slice of the CPU, and a spin takes those of its own process: both took a minute there.
 */
static void give_way(void)
{
	nanosleep(&(struct timespec){0, 1000}, NULL);
}

/* Every byte of the record is derived from its id, so a torn one is seen. */
static void *write_records(void *arg)
{
	struct race_writer *self = arg;
	struct race *race = self->race;
	struct trajectory_writer *w = &self->w;

	for (uint64_t i = 0; i < EACH; i++) {
		struct trajectory *t = trajectory_ring_claim(&race->ring, w);

		if (!t) {
			give_way();
			continue;
		}
		t->id = self->index * EACH + i;
		t->nsteps = TRAJECTORY_STEPS;
		memset(t->steps, (int)(t->id % 251), sizeof(t->steps));
		self->kept[i] = true;
		trajectory_ring_publish(&race->ring, w);
	}
	__atomic_fetch_add(&race->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static uint64_t read_one(struct race *race, uint8_t *seen, uint64_t *last)
{
	const struct trajectory *t = trajectory_ring_peek(&race->ring);
	const unsigned char *bytes;
	uint64_t writer;

	if (!t)
		return 0;
	writer = t->id / EACH;
	assert_true(writer < WRITERS);
	bytes = (const unsigned char *)t->steps;
	for (size_t i = 0; i < sizeof(t->steps); i++)
		if (bytes[i] != t->id % 251)
			fail_msg("record %llu is torn", (unsigned long long)t->id);
	assert_int_equal(seen[t->id]++, 0); /* no duplicate */
	assert_true(last[writer] == 0 || t->id + 1 > last[writer]);
	last[writer] = t->id + 1; /* a writer's records come in its order */
	trajectory_ring_release(&race->ring);
	return 1;
}

static void concurrent_records_are_lost_doubled_or_torn(void **state)
{
	struct race *race = calloc(1, sizeof(*race));
	uint8_t *seen = calloc(WRITERS, EACH);
	void *storage = slots_new(SLOTS);
	uint64_t last[WRITERS] = {0}, drained = 0, recorded = 0, dropped = 0, got;
	pthread_t thread[WRITERS];
	bool done;

	assert_non_null(race);
	assert_non_null(seen);
	assert_int_equal(trajectory_ring_init(&race->ring, storage,
					      SLOTS * sizeof(struct trajectory_slot)),
			 0);
	for (int i = 0; i < WRITERS; i++) {
		race->writer[i].race = race;
		race->writer[i].index = (uint64_t)i;
		assert_int_equal(pthread_create(&thread[i], NULL, write_records, &race->writer[i]),
				 0);
	}
	do {
		done = __atomic_load_n(&race->done, __ATOMIC_ACQUIRE) == WRITERS;
		do
			drained += got = read_one(race, seen, last);
		while (got);
		if (!done)
			give_way();
	} while (!done);
	for (int i = 0; i < WRITERS; i++) {
		const struct trajectory_writer *w = &race->writer[i].w;

		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(w->recorded + w->dropped, EACH);
		assert_int_equal(w->cas_attempts - w->cas_failures, w->recorded);
		recorded += w->recorded;
		dropped += w->dropped;
		for (uint64_t k = 0; k < EACH; k++)
			assert_int_equal(seen[(uint64_t)i * EACH + k], race->writer[i].kept[k]);
	}
	assert_int_equal(drained, recorded);
	assert_int_equal(trajectory_ring_used(&race->ring), 0);
	assert_int_equal(recorded + dropped, (uint64_t)WRITERS * EACH);
	print_message("# %llu of %d records were dropped\n", (unsigned long long)dropped,
		      WRITERS * EACH);
	assert_true(recorded > 0);
	free(storage);
	free(seen);
	free(race);
}

enum { CROWD_SLOTS = 2048, CROWD_ROUNDS = 50 };

/* Claims as fast as it can, and nothing else, until there is no room. */
static void *claim_all(void *arg)
{
	struct race_writer *self = arg;

	while (trajectory_ring_claim(&self->race->ring, &self->w))
		trajectory_ring_publish(&self->race->ring, &self->w);
	return NULL;
}

/* Contention is failures over attempts: every attempt has recorded something or failed. */
static void a_lost_claim_is_not_counted(void **state)
{
	struct race *race = calloc(1, sizeof(*race));
	void *storage = slots_new(CROWD_SLOTS);
	uint64_t attempts = 0, failures = 0;
	pthread_t thread[WRITERS];

	assert_non_null(race);
	for (int round = 0; round < CROWD_ROUNDS; round++) {
		assert_int_equal(trajectory_ring_init(&race->ring, storage,
						      CROWD_SLOTS * sizeof(struct trajectory_slot)),
				 0);
		for (int i = 0; i < WRITERS; i++) {
			race->writer[i].race = race;
			assert_int_equal(
				pthread_create(&thread[i], NULL, claim_all, &race->writer[i]), 0);
		}
		for (int i = 0; i < WRITERS; i++)
			assert_int_equal(pthread_join(thread[i], NULL), 0);
	}
	for (int i = 0; i < WRITERS; i++) {
		attempts += race->writer[i].w.cas_attempts;
		failures += race->writer[i].w.cas_failures;
	}
	assert_int_equal(attempts - failures, (uint64_t)CROWD_SLOTS * CROWD_ROUNDS);
	print_message("# %llu of %llu claims were lost to another writer\n",
		      (unsigned long long)failures, (unsigned long long)attempts);
	free(storage);
	free(race);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_vectors_come_back_too_far_off),
		cmocka_unit_test(instruction_sets_record_different_codes),
		cmocka_unit_test(steps_recorded_together_differ),
		cmocka_unit_test(heavy_attention_weights_are_lost),
		cmocka_unit_test(kept_weights_are_not_the_heaviest),
		cmocka_unit_test(a_record_overflows),
		cmocka_unit_test(ten_thousand_records_exceed_the_budget),
		cmocka_unit_test(a_full_buffer_overwrites_or_does_not_count),
		cmocka_unit_test(a_slow_writer_blocks_others_or_is_read_half_done),
		cmocka_unit_test(concurrent_records_are_lost_doubled_or_torn),
		cmocka_unit_test(a_lost_claim_is_not_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
