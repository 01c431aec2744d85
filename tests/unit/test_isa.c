/* SPDX-License-Identifier: Apache-2.0 */
/* test_isa.c: instruction sets are named, listed and chosen as this machine has them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/isa.h"

static bool lists(const char *text, const char *name)
{
	const size_t n = strlen(name);

	for (const char *at = text; (at = strstr(at, name)) != NULL; at += n)
		if ((at == text || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
			return true;
	return false;
}

static void the_list_differs_from_what_is_used(void **state)
{
	char text[256];

	isa_describe(text, sizeof(text));
	assert_int_equal(lists(text, "neon"), isa_supports(ISA_NEON));
#if defined(__x86_64__) && !defined(KERNELS_EMULATED)
	assert_int_equal(lists(text, "avx2") && lists(text, "fma"), isa_supports(ISA_AVX2));
	assert_int_equal(lists(text, "avx512f") && lists(text, "avx512bw") &&
				 lists(text, "avx512vl") && lists(text, "avx512dq"),
			 isa_supports(ISA_AVX512));
	assert_int_equal(lists(text, "avx512-vnni"), !!(isa_features() & ISA_HAS_AVX512_VNNI));
#endif
}

static void a_short_buffer_overflows(void **state)
{
	for (size_t size = 0; size < 40; size++) {
		char text[64];

		memset(text, '#', sizeof(text));
		isa_describe(text, size);
		assert_true(text[size] == '#');
		assert_true(!size || memchr(text, '\0', size));
	}
}

static void another_set_is_chosen_than_was_told(void **state)
{
	enum isa isa;

	unsetenv("PERFTOP_ISA");
	assert_int_equal(isa_choose("auto", &isa), 0);
	assert_int_equal(isa, isa_best());
	assert_int_equal(isa_choose("scalar", &isa), 0);
	assert_int_equal(isa, ISA_SCALAR);
	assert_int_equal(isa_choose("avx9", &isa), -EINVAL);
	for (int i = 0; i < ISA_COUNT; i++)
		assert_int_equal(isa_choose(isa_name((enum isa)i), &isa),
				 isa_supports((enum isa)i) ? 0 : -ENOTSUP);
	setenv("PERFTOP_ISA", "scalar", 1);
	assert_int_equal(isa_choose(NULL, &isa), 0);
	assert_int_equal(isa, ISA_SCALAR);
	unsetenv("PERFTOP_ISA");
	assert_string_equal(isa_name(ISA_COUNT), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_list_differs_from_what_is_used),
		cmocka_unit_test(a_short_buffer_overflows),
		cmocka_unit_test(another_set_is_chosen_than_was_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
