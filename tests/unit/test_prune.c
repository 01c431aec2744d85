/* SPDX-License-Identifier: Apache-2.0 */
/* test_prune.c: the smallest weights go, exactly as many as asked, and no other. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/quant/prune.h"

enum { ROWS = 12, COLS = 70, GAP = 2, N = ROWS * COLS, ROW = COLS + GAP };

static uint32_t random_state = 17;

static float random_float(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}

struct fixture {
	struct prune p;
	float was[ROWS * ROW], w[ROWS * ROW], scratch[2 * N];
};

/* levels 0: all different; else that many sizes, so that there are many equals. */
static void setup(struct fixture *f, int levels)
{
	for (int i = 0; i < ROWS * ROW; i++) {
		f->was[i] = random_float();
		if (levels)
			f->was[i] = rintf(f->was[i] * (float)levels) / (float)levels;
		if (f->was[i] == 0)
			f->was[i] = 0.5f;
	}
	memcpy(f->w, f->was, sizeof(f->w));
	f->p = (struct prune){f->w, ROW, ROWS, COLS};
}

static int compare(const void *a, const void *b)
{
	const float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void selection_differs_from_sorting(void **state)
{
	for (int n = 1; n < 200; n += 7) {
		for (int levels = 0; levels < 4; levels++) {
			float v[200] = {0}, sorted[200], work[200];

			for (int i = 0; i < n; i++)
				v[i] = levels ? rintf(random_float() * (float)levels)
					      : random_float();
			if (n % 3 == 0) /* in order already */
				qsort(v, (size_t)n, sizeof(*v), compare);
			memcpy(sorted, v, sizeof(v));
			qsort(sorted, (size_t)n, sizeof(*v), compare);
			for (int k = 0; k < n; k++) {
				memcpy(work, v, sizeof(v));
				assert_true(prune_select(work, (size_t)n, (size_t)k) == sorted[k]);
			}
		}
	}
}

/* Each weight is as it was or 0; the largest that went is no larger than the smallest that stayed.
 */
static void check_kept(const struct fixture *f)
{
	float went = 0, stayed = INFINITY;

	for (int r = 0; r < ROWS; r++) {
		for (int c = 0; c < COLS; c++) {
			const float was = f->was[r * ROW + c], is = f->w[r * ROW + c];

			assert_true(is == was || is == 0);
			if (is == 0)
				went = fmaxf(went, fabsf(was));
			else
				stayed = fminf(stayed, fabsf(was));
		}
		assert_memory_equal(f->w + r * ROW + COLS, f->was + r * ROW + COLS,
				    GAP * sizeof(float));
	}
	assert_true(went <= stayed);
}

static void magnitude_takes_others_or_another_number(void **state)
{
	static const size_t counts[] = {0, 1, N / 3, N / 2, N - 1, N};
	static struct fixture f;

	for (int levels = 0; levels < 4; levels++) {
		for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
			setup(&f, levels);
			assert_int_equal(prune_magnitude(&f.p, counts[i], f.scratch), 0);
			assert_int_equal(prune_zeros(&f.p), counts[i]);
			check_kept(&f);
		}
	}
}

static double block_square(const struct fixture *f, int r, int c, int high, int wide)
{
	double sum = 0, n = 0;

	for (int i = r; i < r + high && i < ROWS; i++)
		for (int j = c; j < c + wide && j < COLS; j++, n++)
			sum += (double)f->was[i * ROW + j] * f->was[i * ROW + j];
	return sum / n;
}

static void check_blocks(struct fixture *f, int high, int wide, size_t count)
{
	size_t gone = 0;
	double went = 0, stayed = INFINITY;

	for (int r = 0; r < ROWS; r += high) {
		for (int c = 0; c < COLS; c += wide) {
			const int zero = f->w[r * ROW + c] == 0;
			const double square = block_square(f, r, c, high, wide);

			for (int i = r; i < r + high && i < ROWS; i++)
				for (int j = c; j < c + wide && j < COLS; j++)
					assert_true(f->w[i * ROW + j] ==
						    (zero ? 0 : f->was[i * ROW + j]));
			gone += (size_t)zero;
			went = zero ? fmax(went, square) : went;
			stayed = zero ? stayed : fmin(stayed, square);
		}
	}
	assert_int_equal(gone, count);
	assert_true(went <= stayed * (1 + 1e-6));
}

static void structure_is_not_kept(void **state)
{
	static struct fixture f;

	for (int levels = 0; levels < 3; levels++) {
		setup(&f, levels);
		assert_int_equal(prune_rows(&f.p, 5, f.scratch), 0);
		check_blocks(&f, 1, COLS, 5);
		setup(&f, levels);
		assert_int_equal(prune_columns(&f.p, 31, f.scratch), 0);
		check_blocks(&f, ROWS, 1, 31);
		setup(&f, levels);
		assert_int_equal(prune_blocks(&f.p, 5, 16, 7, f.scratch), 0);
		check_blocks(&f, 5, 16, 7);
		setup(&f, levels);
		assert_int_equal(prune_blocks(&f.p, 100, 100, 1, f.scratch), 0);
		assert_int_equal(prune_zeros(&f.p), N);
	}
}

static void n_of_m_keeps_another_number(void **state)
{
	static struct fixture f;

	for (int levels = 0; levels < 3; levels++) {
		for (uint32_t m = 1; m <= 9; m++) {
			for (uint32_t n = 0; n <= m; n++) {
				setup(&f, levels);
				assert_int_equal(prune_n_of_m(&f.p, n, m), 0);
				for (uint32_t r = 0; r < ROWS; r++) {
					for (uint32_t c = 0; c < COLS; c += m) {
						const uint32_t k = COLS - c < m ? COLS - c : m;
						uint32_t kept = 0;
						float went = 0, stayed = INFINITY;

						for (uint32_t i = r * ROW + c; i < r * ROW + c + k;
						     i++) {
							kept += f.w[i] != 0;
							if (f.w[i] == 0)
								went = fmaxf(went, fabsf(f.was[i]));
							else
								stayed = fminf(stayed,
									       fabsf(f.was[i]));
						}
						assert_int_equal(kept, (k * n + m - 1) / m);
						assert_true(went <= stayed);
					}
				}
			}
		}
	}
}

static void packing_loses_a_weight(void **state)
{
	static struct fixture f;
	uint64_t words[ROWS * 2];
	float kept[N], pruned[ROWS * ROW];

	setup(&f, 0);
	assert_int_equal(prune_n_of_m(&f.p, 2, 4), 0);
	memcpy(pruned, f.w, sizeof(pruned));
	assert_int_equal(prune_words(&f.p), ROWS * 2);
	/* 36 of 70 a row (2 of a last 2 would be 1): half the floats, and 16 bytes of bits. */
	assert_int_equal(prune_packed_bytes(&f.p),
			 ROWS * 16 + (N - prune_zeros(&f.p)) * sizeof(float));
	assert_int_equal(prune_zeros(&f.p), ROWS * 35);
	assert_int_equal(prune_pack(&f.p, words, kept), 0);
	for (int r = 0; r < ROWS; r++)
		for (int c = 0; c < COLS; c++)
			f.w[r * ROW + c] = NAN;
	assert_int_equal(prune_unpack(&f.p, words, kept), 0);
	assert_memory_equal(f.w, pruned, sizeof(pruned));
}

static void a_bad_argument_is_accepted(void **state)
{
	static struct fixture f;

	setup(&f, 0);
	assert_int_equal(prune_magnitude(NULL, 1, f.scratch), -EINVAL);
	assert_int_equal(prune_magnitude(&f.p, N + 1, f.scratch), -EINVAL);
	assert_int_equal(prune_magnitude(&f.p, 1, NULL), -EINVAL);
	assert_int_equal(prune_rows(NULL, 1, f.scratch), -EINVAL);
	assert_int_equal(prune_rows(&f.p, ROWS + 1, f.scratch), -EINVAL);
	assert_int_equal(prune_columns(&f.p, COLS + 1, f.scratch), -EINVAL);
	assert_int_equal(prune_blocks(&f.p, 0, 1, 1, f.scratch), -EINVAL);
	assert_int_equal(prune_n_of_m(&f.p, 5, 4), -EINVAL);
	assert_int_equal(prune_n_of_m(&f.p, 1, 0), -EINVAL);
	assert_int_equal(prune_n_of_m(&f.p, 1, PRUNE_MAX_M + 1), -EINVAL);
	f.w[ROW + 3] = NAN;
	assert_int_equal(prune_magnitude(&f.p, 1, f.scratch), -EINVAL);
	f.w[ROW + 3] = 1;
	f.p.w_row = COLS - 1;
	assert_int_equal(prune_magnitude(&f.p, 1, f.scratch), -EINVAL);
	f.p.w_row = ROW;
	f.p.rows = 0;
	assert_int_equal(prune_n_of_m(&f.p, 2, 4), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selection_differs_from_sorting),
		cmocka_unit_test(magnitude_takes_others_or_another_number),
		cmocka_unit_test(structure_is_not_kept),
		cmocka_unit_test(n_of_m_keeps_another_number),
		cmocka_unit_test(packing_loses_a_weight),
		cmocka_unit_test(a_bad_argument_is_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
