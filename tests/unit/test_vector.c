/* SPDX-License-Identifier: Apache-2.0 */
/* test_vector.c: vector operations and the matrix product against double-precision references. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FOR_ROWS(row, kind_)                                                           \
	for (const struct kernel *row = kernels; row < kernels + kernels_count; row++) \
		if (row->kind == (kind_) && kernels_supported(row))

enum { MAX = 600, PAD = 1, BEYOND = 40 }; /* odd addresses; floats that must stay as they were */

static uint32_t random_state = 5;

static void fill(float *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		random_state = random_state * 1664525 + 1013904223;
		p[i] = (float)(random_state >> 8) / (float)(1 << 23) - 1;
	}
}

static float *floats_new(size_t n)
{
	float *p = malloc((n + PAD) * sizeof(*p));

	assert_non_null(p);
	fill(p, n + PAD);
	return p;
}

static const size_t lengths[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 130, 513};

static void a_vector_operation_is_wrong_at_some_length(void **state)
{
	float a[PAD + MAX + BEYOND], b[PAD + MAX + BEYOND], out[PAD + MAX + BEYOND];
	float start[PAD + MAX + BEYOND];

	fill(a, COUNT(a));
	fill(b, COUNT(b));
	fill(start, COUNT(start));
	for (size_t l = 0; l < COUNT(lengths); l++) {
		const size_t n = lengths[l];

		FOR_ROWS(k, KERNEL_vector_add)
		{
			memcpy(out, start, sizeof(out));
			assert_int_equal(k->run.vector_add(a + PAD, b, out + PAD, n), 0);
			for (size_t i = 0; i < n; i++)
				assert_true(out[PAD + i] == a[PAD + i] + b[i]);
			assert_memory_equal(out + PAD + n, start + PAD + n, BEYOND * sizeof(float));
		}
		FOR_ROWS(k, KERNEL_vector_scale)
		{
			memcpy(out, start, sizeof(out));
			assert_int_equal(k->run.vector_scale(-1.7f, a + PAD, out + PAD, n), 0);
			for (size_t i = 0; i < n; i++)
				assert_true(out[PAD + i] == -1.7f * a[PAD + i]);
			assert_memory_equal(out + PAD + n, start + PAD + n, BEYOND * sizeof(float));
		}
		FOR_ROWS(k, KERNEL_vector_axpy)
		{
			memcpy(out, start, sizeof(out));
			assert_int_equal(k->run.vector_axpy(0.3f, a + PAD, out + PAD, n), 0);
			for (size_t i = 0; i < n; i++) {
				double want = start[PAD + i] + (double)0.3f * a[PAD + i];

				assert_true(fabs(out[PAD + i] - want) < 2e-7);
			}
			assert_memory_equal(out + PAD + n, start + PAD + n, BEYOND * sizeof(float));
		}
	}
}

static void a_dot_product_is_wrong_at_some_length(void **state)
{
	float a[PAD + MAX], b[MAX];

	fill(a, COUNT(a));
	fill(b, COUNT(b));
	for (size_t l = 0; l < COUNT(lengths); l++) {
		double size = 0;
		float want;

		for (size_t i = 0; i < lengths[l]; i++)
			size += fabs((double)a[PAD + i] * b[i]);
		assert_int_equal(vector_dot_ref(a + PAD, b, lengths[l], &want), 0);
		FOR_ROWS(k, KERNEL_vector_dot)
		{
			float got = NAN;

			assert_int_equal(k->run.vector_dot(a + PAD, b, lengths[l], &got), 0);
			assert_true(fabs((double)got - want) <= VECTOR_ERROR * size);
		}
	}
	a[PAD + 3] = INFINITY;
	b[3] = 1;
	FOR_ROWS(k, KERNEL_vector_dot)
	{
		float got;

		assert_int_equal(k->run.vector_dot(a + PAD, b, 40, &got), 0);
		assert_true(isinf(got) && got > 0);
		b[3] = 0;
		assert_int_equal(k->run.vector_dot(a + PAD, b, 40, &got), 0);
		assert_true(isnan(got));
		b[3] = 1;
	}
}

static void an_embedding_is_not_its_row(void **state)
{
	enum { ROWS = 50, ASKED = 90 };
	static const uint32_t dims[] = {1, 3, 8, 31, 32, 33, 100};
	uint32_t index[ASKED];

	for (uint32_t i = 0; i < ASKED; i++)
		index[i] = i * 37 % ROWS;
	for (size_t d = 0; d < COUNT(dims); d++) {
		float *table = floats_new((size_t)ROWS * dims[d]);
		float *out = floats_new((size_t)ASKED * dims[d] + BEYOND);
		const float after = out[(size_t)ASKED * dims[d]];

		FOR_ROWS(k, KERNEL_vector_gather)
		{
			memset(out, 0, (size_t)ASKED * dims[d] * sizeof(*out));
			assert_int_equal(
				k->run.vector_gather(table, ROWS, dims[d], index, ASKED, out), 0);
			for (uint32_t i = 0; i < ASKED; i++)
				assert_memory_equal(out + (size_t)i * dims[d],
						    table + (size_t)index[i] * dims[d],
						    dims[d] * sizeof(float));
			assert_true(out[(size_t)ASKED * dims[d]] == after);
			/* One word beyond the vocabulary: refused, and nothing is written. */
			out[0] = 42;
			assert_int_equal(k->run.vector_gather(table, ROWS - 1, dims[d], index,
							      ASKED, out),
					 -EINVAL);
			assert_true(out[0] == 42);
			assert_int_equal(k->run.vector_gather(table, ROWS, 0, index, 1, out),
					 -EINVAL);
			assert_int_equal(k->run.vector_gather(NULL, ROWS, 1, index, 1, out),
					 -EINVAL);
		}
		free(table);
		free(out);
	}
}

struct product {
	struct vector_matmul mm;
	float *a, *b, *start;
	size_t c_floats;
};

/* Rows have gaps, addresses are odd. */
static void product_init(struct product *p, uint32_t m, uint32_t n, uint32_t k, bool transposed,
			 bool add)
{
	const size_t b_rows = transposed ? n : k;

	memset(p, 0, sizeof(*p));
	p->mm.m = m;
	p->mm.n = n;
	p->mm.k = k;
	p->mm.a_row = k + 3;
	p->mm.b_row = (transposed ? k : n) + 1;
	p->mm.c_row = n + 2;
	p->mm.b_transposed = transposed;
	p->mm.add = add;
	p->a = floats_new(m * p->mm.a_row);
	p->b = floats_new(b_rows * p->mm.b_row);
	p->c_floats = m * p->mm.c_row + PAD;
	p->start = floats_new(p->c_floats);
	p->mm.a = p->a + PAD;
	p->mm.b = p->b + PAD;
}

static void product_fini(struct product *p)
{
	free(p->a);
	free(p->b);
	free(p->start);
}

static float *product_run(struct product *p, vector_matmul_fn *fn)
{
	const size_t bytes = vector_matmul_scratch(&p->mm);
	float *c = malloc(p->c_floats * sizeof(*c));
	void *scratch = aligned_alloc(MATMUL_ALIGN, (bytes + 63) / 64 * 64);

	assert_non_null(c);
	assert_non_null(scratch);
	memcpy(c, p->start, p->c_floats * sizeof(*c));
	p->mm.c = c + PAD;
	assert_int_equal(fn(&p->mm, scratch, bytes), 0);
	free(scratch);
	return c;
}

static void check_product(uint32_t m, uint32_t n, uint32_t k, bool transposed, bool add)
{
	struct product p;
	float *want;

	product_init(&p, m, n, k, transposed, add);
	want = product_run(&p, vector_matmul_ref);
	FOR_ROWS(row, KERNEL_vector_matmul)
	{
		float *got = product_run(&p, row->run.vector_matmul);

		for (size_t i = 0; i < p.c_floats; i++)
			if (!(fabs((double)got[i] - want[i]) <=
			      MATMUL_ERROR * (fabs((double)p.start[i]) + k)))
				fail_msg("%s %s %ux%ux%u%s%s [%zu]: %g, not %g", row->name,
					 isa_name(row->isa), m, n, k, transposed ? " B^T" : "",
					 add ? " +=" : "", i, (double)got[i], (double)want[i]);
		for (uint32_t i = 0; i < m; i++) /* what lies between rows */
			assert_memory_equal(got + PAD + i * p.mm.c_row + n,
					    p.start + PAD + i * p.mm.c_row + n, 2 * sizeof(float));
		free(got);
	}
	free(want);
	product_fini(&p);
}

static void a_product_is_wrong_at_some_shape(void **state)
{
	static const uint32_t some[] = {1, 5, 6, 7, 8, 11, 12, 13, 16, 17, 31, 32, 33, 40};

	for (size_t i = 0; i < COUNT(some); i++)
		for (size_t j = 0; j < COUNT(some); j++)
			for (int how = 0; how < 4; how++)
				check_product(some[i], some[j], some[(i * 5 + j * 3) % COUNT(some)],
					      how & 1, how & 2);
}

/* One more than each block: the seams between blocks. */
static void a_product_is_wrong_at_a_seam(void **state)
{
	for (int how = 0; how < 4; how++) {
		check_product(7, 9, MATMUL_DEPTH + 1, how & 1, how & 2);
		check_product(MATMUL_HEIGHT + 1, 17, 9, how & 1, how & 2);
		check_product(3, MATMUL_WIDTH + 1, 5, how & 1, how & 2);
		check_product(13, 50, 2 * MATMUL_DEPTH, how & 1, how & 2);
	}
}

static void an_empty_product_is_not_zero(void **state)
{
	for (int add = 0; add < 2; add++) {
		check_product(5, 9, 0, false, add);
		check_product(0, 9, 4, false, add);
		check_product(5, 0, 4, false, add);
	}
}

static void one_nan_spreads_or_is_lost(void **state)
{
	enum { N = 40, ROW = 3, COLUMN = 5 };
	struct product p;

	product_init(&p, N, N, N, false, false);
	p.a[PAD + ROW * p.mm.a_row + 20] = NAN;
	p.b[PAD + 7 * p.mm.b_row + COLUMN] = INFINITY;
	FOR_ROWS(row, KERNEL_vector_matmul)
	{
		float *c = product_run(&p, row->run.vector_matmul);

		for (int i = 0; i < N; i++) {
			for (int j = 0; j < N; j++) {
				float v = c[PAD + i * p.mm.c_row + j];

				assert_true(i == ROW	  ? isnan(v)
					    : j == COLUMN ? isinf(v)
							  : isfinite(v));
			}
		}
		free(c);
	}
	product_fini(&p);
}

static void a_bad_product_is_accepted(void **state)
{
	struct product p;
	size_t bytes;
	char *scratch;

	product_init(&p, 8, 8, 8, false, false);
	bytes = vector_matmul_scratch(&p.mm);
	scratch = aligned_alloc(MATMUL_ALIGN, (bytes + 127) / 64 * 64);
	assert_non_null(scratch);
	p.mm.c = p.start;
	FOR_ROWS(row, KERNEL_vector_matmul)
	{
		vector_matmul_fn *fn = row->run.vector_matmul;
		struct vector_matmul bad = p.mm;

		assert_int_equal(fn(&p.mm, scratch, bytes), 0);
		assert_int_equal(fn(NULL, scratch, bytes), -EINVAL);
		bad.a = NULL;
		assert_int_equal(fn(&bad, scratch, bytes), -EINVAL);
		bad = p.mm;
		bad.c_row = 7;
		assert_int_equal(fn(&bad, scratch, bytes), -EINVAL);
		bad = p.mm;
		bad.b_row = 7;
		assert_int_equal(fn(&bad, scratch, bytes), -EINVAL);
		if (row->isa == ISA_SCALAR)
			continue;
		assert_int_equal(fn(&p.mm, NULL, bytes), -EINVAL);
		assert_int_equal(fn(&p.mm, scratch + 4, bytes), -EINVAL);
		assert_int_equal(fn(&p.mm, scratch, bytes - 1), -EINVAL);
	}
	free(scratch);
	product_fini(&p);
}

static void a_null_vector_is_accepted(void **state)
{
	float v[4] = {0}, out;

	FOR_ROWS(k, KERNEL_vector_add)
	{
		assert_int_equal(k->run.vector_add(NULL, v, v, 4), -EINVAL);
		assert_int_equal(k->run.vector_add(v, NULL, v, 4), -EINVAL);
		assert_int_equal(k->run.vector_add(v, v, NULL, 4), -EINVAL);
	}
	FOR_ROWS(k, KERNEL_vector_dot)
	{
		assert_int_equal(k->run.vector_dot(NULL, v, 4, &out), -EINVAL);
		assert_int_equal(k->run.vector_dot(v, v, 4, NULL), -EINVAL);
	}
	FOR_ROWS(k, KERNEL_vector_scale)
	assert_int_equal(k->run.vector_scale(1, NULL, v, 4), -EINVAL);
	FOR_ROWS(k, KERNEL_vector_axpy)
	assert_int_equal(k->run.vector_axpy(1, v, NULL, 4), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vector_operation_is_wrong_at_some_length),
		cmocka_unit_test(a_dot_product_is_wrong_at_some_length),
		cmocka_unit_test(an_embedding_is_not_its_row),
		cmocka_unit_test(a_product_is_wrong_at_some_shape),
		cmocka_unit_test(a_product_is_wrong_at_a_seam),
		cmocka_unit_test(an_empty_product_is_not_zero),
		cmocka_unit_test(one_nan_spreads_or_is_lost),
		cmocka_unit_test(a_bad_product_is_accepted),
		cmocka_unit_test(a_null_vector_is_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
