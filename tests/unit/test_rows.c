/* SPDX-License-Identifier: Apache-2.0 */
/* test_rows.c: every row of kernels.def runs somewhere: natively, or emulated and by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

#if defined(KERNELS_EMULATED)
static const bool emulated = true;
#else
static const bool emulated = false;
#define KERNELS_EMULATED /* below, the rows of every architecture */
#endif

static const struct row {
	const char *name;
	enum isa isa;
	unsigned int features;
} rows[] = {
#define KERNEL(kind_, name_, isa_, features_, fn_) {#name_, ISA_##isa_, ISA_##features_},
#include "kernels/kernels.def"
#undef KERNEL
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static bool row_runs(const struct row *r)
{
	for (const struct kernel *k = kernels; k < kernels + kernels_count; k++)
		if (k->isa == r->isa && k->features == r->features && !strcmp(k->name, r->name))
			return kernels_supported(k);
	return false;
}

/* Rows of isa that are not run here, written as "a, b"; how many. */
static int rows_missing(enum isa isa, char *list, size_t size)
{
	int n = 0;

	list[0] = 0;
	for (int i = 0; i < ROWS; i++) {
		size_t used = strlen(list);

		if (rows[i].isa != isa || row_runs(&rows[i]))
			continue;
		snprintf(list + used, size - used, "%s%s", n++ ? ", " : "", rows[i].name);
	}
	return n;
}

/* What this CPU lacks is no failure, unless this is the build that has everything. */
static void check_isa(enum isa isa)
{
	char list[4096];
	int n = rows_missing(isa, list, sizeof(list));

	if (!n)
		return;
	if (emulated)
		fail_msg("%d rows of %s run nowhere: %s", n, isa_name(isa), list);
	print_message("# not run natively, for want of %s or an extension of it: %s\n",
		      isa_name(isa), list);
	skip();
}

static void rows_of_avx2_are_not_run(void **state)
{
	check_isa(ISA_AVX2);
}

static void rows_of_avx512_are_not_run(void **state)
{
	check_isa(ISA_AVX512);
}

static void rows_of_neon_are_not_run(void **state)
{
	check_isa(ISA_NEON);
}

static void a_scalar_row_is_missing(void **state)
{
	for (int i = 0; i < ROWS; i++) {
		const struct kernel *k = kernels_select(rows[i].name, ISA_SCALAR);

		/* What is compared with, the scalar one included, need not have a scalar form. */
		if (strcmp(rows[i].name, "attention_standard") != 0)
			assert_non_null(k);
	}
}

/* Of two, the one with the most features comes first, and is found wherever it runs. */
static void the_second_of_two_rows_is_found(void **state)
{
	for (const struct kernel *k = kernels; k < kernels + kernels_count; k++) {
		const struct kernel *first = kernels_find(k->name, k->isa);

		if (!kernels_supported(k))
			continue;
		assert_true(first <= k);
		if (first != k)
			assert_true((first->features & ~k->features) != 0);
	}
}

/* Its figure is a rate: the work done must be the work said. */
static void the_peak_counts_too_much(void **state)
{
	for (const struct kernel *k = kernels; k < kernels + kernels_count; k++) {
		if (k->kind != KERNEL_peak || !kernels_supported(k))
			continue;
		assert_int_equal(k->run.peak(0), 0);
		assert_true(k->run.peak(1) > 0);
		assert_int_equal(k->run.peak(1000), 1000 * k->run.peak(1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_of_avx2_are_not_run),
		cmocka_unit_test(rows_of_avx512_are_not_run),
		cmocka_unit_test(rows_of_neon_are_not_run),
		cmocka_unit_test(a_scalar_row_is_missing),
		cmocka_unit_test(the_second_of_two_rows_is_found),
		cmocka_unit_test(the_peak_counts_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
