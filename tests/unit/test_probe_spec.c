/* SPDX-License-Identifier: Apache-2.0 */
/* test_probe_spec.c: what users type after -e. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "collectors/probe_spec.h"

static void assert_function(const char *text, const char *module, const char *name)
{
	struct probe_spec s;
	char why[256] = "";

	if (probe_spec_parse(text, &s, why, sizeof(why)))
		fail_msg("%s: %s", text, why);
	assert_int_equal(s.kind, SPEC_FUNCTION);
	assert_string_equal(s.module, module);
	assert_string_equal(s.name.text, name);
	probe_spec_fini(&s);
}

static void a_function_is_split_from_its_file(void **state)
{
	assert_function("malloc", "", "malloc");
	assert_function("libc.so.6:malloc", "libc.so.6", "malloc");
	assert_function("./prog:parse*", "./prog", "parse*");
	assert_function("/abs/path:fn", "/abs/path", "fn");
	assert_function("*:fn", "", "fn");
	assert_function("/pars(e|er)_/", "", "pars(e|er)_");
	assert_function("prog:/^a.b$/", "prog", "^a.b$");
	assert_function("/abs/prog:/^a/", "/abs/prog", "^a");
}

static void colons_of_a_cpp_name_stay_in_it(void **state)
{
	assert_function("ns::fn", "", "ns::fn");
	assert_function("prog:ns::Class::fn*", "prog", "ns::Class::fn*");
	assert_function("libx.so:ns::fn(char*)", "libx.so", "ns::fn(char*)");
}

static void assert_bad(const char *text, const char *part)
{
	struct probe_spec s;
	char why[256] = "";

	assert_true(probe_spec_parse(text, &s, why, sizeof(why)) < 0);
	if (!strstr(why, part))
		fail_msg("%s: '%s'", text, why);
}

static void a_broken_probe_is_told_with_its_form(void **state)
{
	char lengthy[1024];

	assert_bad("", "missing");
	assert_bad("libc:", "missing");
	assert_bad("usdt:prog", "usdt:FILE:PROVIDER:NAME");
	assert_bad("usdt:prog:provider", "usdt:FILE:PROVIDER:NAME");
	assert_bad("usdt:prog::name", "missing");
	assert_bad("prog:/a(b/", "regular expression");
	memset(lengthy, 'x', sizeof(lengthy));
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_bad(lengthy, "longer");
	lengthy[400] = '\0';
	assert_bad(lengthy, "longer");
}

static void a_marker_has_file_provider_and_name(void **state)
{
	struct probe_spec s;
	char why[256];

	assert_int_equal(probe_spec_parse("usdt:prog:prov*:na?e", &s, why, sizeof(why)), 0);
	assert_int_equal(s.kind, SPEC_USDT);
	assert_string_equal(s.module, "prog");
	assert_true(name_pattern_match(&s.provider, "provider"));
	assert_true(name_pattern_match(&s.name, "name"));
	assert_false(name_pattern_match(&s.name, "names"));
	probe_spec_fini(&s);
	assert_int_equal(probe_spec_parse("usdt::p:n", &s, why, sizeof(why)), 0);
	assert_string_equal(s.module, "");
	probe_spec_fini(&s);
}

static bool matches(const char *spec, const char *name)
{
	struct probe_spec s;
	char why[256];
	bool hit;

	assert_int_equal(probe_spec_parse(spec, &s, why, sizeof(why)), 0);
	hit = name_pattern_match(&s.name, name);
	probe_spec_fini(&s);
	return hit;
}

static void patterns_match_as_their_kind_does(void **state)
{
	assert_true(matches("parse*", "parse_json"));
	assert_false(matches("parse*", "reparse"));
	assert_true(matches("/parse/", "reparse"));
	assert_false(matches("/^parse/", "reparse"));
	assert_true(matches("malloc", "malloc"));
	assert_false(matches("malloc", "mallocx"));
	assert_true(matches("f[ab]", "fa"));
	/* A star of a pointer parameter is no glob. */
	assert_true(matches("ns::fn(char*)", "ns::fn(char*)"));
	assert_false(matches("ns::fn(char*)", "ns::fn(char, int)"));
	assert_true(matches("A::operator[]", "A::operator[]"));
}

static void a_file_answers_to_its_name_prefix_and_path(void **state)
{
	const char *libc = "/usr/lib/x86_64-linux-gnu/libc.so.6";

	assert_int_equal(probe_spec_module_rank("libc.so.6", libc), 2);
	assert_int_equal(probe_spec_module_rank(libc, libc), 2);
	assert_int_equal(probe_spec_module_rank("libc", libc), 1);
	assert_int_equal(probe_spec_module_rank("lib?.so*", libc), 1);
	assert_int_equal(probe_spec_module_rank("", libc), 1);
	assert_int_equal(probe_spec_module_rank("libc", "/usr/lib/libcrypto.so.3"), 0);
	assert_int_equal(probe_spec_module_rank("python3", "/usr/bin/python3.11"), 1);
	assert_int_equal(probe_spec_module_rank("lib", libc), 0);
	assert_int_equal(probe_spec_module_rank("/lib/libc.so.6", libc), 0);
}

static void a_mistyped_name_is_near_the_right_one(void **state)
{
	assert_int_equal(name_distance("mallok", "malloc", 3), 1);
	assert_int_equal(name_distance("maloc", "malloc", 3), 1);
	assert_int_equal(name_distance("malloc", "malloc", 3), 0);
	assert_int_equal(name_distance("malloc", "calloc", 3), 1);
	assert_int_equal(name_distance("malloc", "pthread_create", 3), 4);
	assert_int_equal(name_distance("", "abc", 3), 3);
	assert_int_equal(name_distance("abcdef", "ghijkl", 2), 3);
}

static void a_library_may_come_later_and_a_program_may_not(void **state)
{
	struct probe_spec s;
	char why[256];

	assert_true(probe_spec_is_library("libfoo.so"));
	assert_true(probe_spec_is_library("libfoo"));
	assert_true(probe_spec_is_library("/usr/lib/nginx/modules/ngx_http_geo_module.so"));
	assert_true(probe_spec_is_library("_ssl.cpython-311-x86_64-linux-gnu.so"));
	assert_false(probe_spec_is_library("redis-server"));
	assert_false(probe_spec_is_library("/opt/lib/prog"));
	assert_false(probe_spec_is_library(""));
	assert_int_equal(probe_spec_parse("*:foo*", &s, why, sizeof(why)), 0);
	assert_true(s.any);
	assert_string_equal(s.module, "");
	probe_spec_fini(&s);
	assert_int_equal(probe_spec_parse("foo*", &s, why, sizeof(why)), 0);
	assert_false(s.any);
	probe_spec_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_is_split_from_its_file),
		cmocka_unit_test(colons_of_a_cpp_name_stay_in_it),
		cmocka_unit_test(a_broken_probe_is_told_with_its_form),
		cmocka_unit_test(a_marker_has_file_provider_and_name),
		cmocka_unit_test(patterns_match_as_their_kind_does),
		cmocka_unit_test(a_file_answers_to_its_name_prefix_and_path),
		cmocka_unit_test(a_mistyped_name_is_near_the_right_one),
		cmocka_unit_test(a_library_may_come_later_and_a_program_may_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
