/* SPDX-License-Identifier: Apache-2.0 */
/* test_kernel_btf.c: what is taken out of the kernel's types is what libbpf finds in all of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bpf/btf.h>
#include <errno.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/kernel_btf.h"

static const struct {
	const char *name;
	uint32_t kind;
	bool whole;
} wanted[] = {
	{"task_struct", BTF_KIND_STRUCT, true},
	{"sock_common", BTF_KIND_STRUCT, true},
	{"request", BTF_KIND_STRUCT, true},
	{"sched_entity", BTF_KIND_STRUCT, true},
	{"file", BTF_KIND_STRUCT, false},
	{"pid_type", BTF_KIND_ENUM, true},
	{"btf_trace_sched_switch", BTF_KIND_TYPEDEF, false},
	{"bpf_iter_task", BTF_KIND_FUNC, false},
	{"file", BTF_KIND_FUNC, false}, /* there is none */
	{"no_such_struct", BTF_KIND_STRUCT, true},
};
enum { NWANTED = sizeof(wanted) / sizeof(wanted[0]) };

static void want_all(struct kernel_btf *k)
{
	memset(k, 0, sizeof(*k));
	for (int i = 0; i < NWANTED; i++)
		assert_int_equal(
			kernel_btf_want(k, wanted[i].name, wanted[i].kind, wanted[i].whole), 0);
}

/* All of the kernel's, by libbpf; NULL: it has none. */
static struct btf *kernel(void)
{
	struct btf *b = btf__load_vmlinux_btf();

	if (!b)
		skip();
	return b;
}

/* Size, and of each member name, place and size, are the same, through all that lies within. */
static void same(const struct btf *a, uint32_t ai, const struct btf *b, uint32_t bi, int depth)
{
	const struct btf_type *x = btf__type_by_id(a, ai), *y = btf__type_by_id(b, bi);

	assert_true(depth < 32);
	assert_int_equal(btf_kind(x), btf_kind(y));
	assert_int_equal(btf_vlen(x), btf_vlen(y));
	assert_string_equal(btf__name_by_offset(a, x->name_off),
			    btf__name_by_offset(b, y->name_off));
	if (btf_is_mod(x) || btf_is_typedef(x)) {
		same(a, x->type, b, y->type, depth + 1);
	} else if (btf_is_array(x)) {
		assert_int_equal(btf_array(x)->nelems, btf_array(y)->nelems);
		same(a, btf_array(x)->type, b, btf_array(y)->type, depth + 1);
	} else if (btf_is_ptr(x)) {
		assert_int_equal(y->type, 0); /* leads nowhere */
	} else {
		assert_int_equal(x->size, y->size);
	}
	for (uint32_t i = 0; btf_is_composite(x) && i < btf_vlen(x); i++) {
		const struct btf_member *m = &btf_members(x)[i], *n = &btf_members(y)[i];

		assert_int_equal(m->offset, n->offset);
		assert_string_equal(btf__name_by_offset(a, m->name_off),
				    btf__name_by_offset(b, n->name_off));
		same(a, m->type, b, n->type, depth + 1);
	}
	for (uint32_t i = 0; btf_is_enum(x) && i < btf_vlen(x); i++) {
		assert_int_equal(btf_enum(x)[i].val, btf_enum(y)[i].val);
		assert_string_equal(btf__name_by_offset(a, btf_enum(x)[i].name_off),
				    btf__name_by_offset(b, btf_enum(y)[i].name_off));
	}
}

static void numbers_are_those_that_libbpf_finds(void **state)
{
	struct btf *all = kernel();
	struct kernel_btf k;

	want_all(&k);
	assert_int_equal(kernel_btf_search_running(&k), 0);
	for (int i = 0; i < NWANTED; i++) {
		int id = btf__find_by_name_kind(all, wanted[i].name, wanted[i].kind);

		assert_int_equal(kernel_btf_id(&k, wanted[i].name, wanted[i].kind),
				 id < 0 ? 0 : id);
	}
	assert_true(kernel_btf_id(&k, "task_struct", BTF_KIND_STRUCT) > 0);
	kernel_btf_fini(&k);
	btf__free(all);
}

static void types_are_copied_with_all_that_lies_in_them(void **state)
{
	struct btf *all = kernel(), *few;
	struct kernel_btf k;

	want_all(&k);
	assert_int_equal(kernel_btf_search_running(&k), 0);
	few = btf__new(k.types, (uint32_t)k.size);
	assert_non_null(few);
	assert_in_range(btf__type_cnt(few), 100, 5000);
	for (int i = 0; i < NWANTED; i++) {
		int from = btf__find_by_name_kind(all, wanted[i].name, wanted[i].kind);
		int to = btf__find_by_name_kind(few, wanted[i].name, wanted[i].kind);

		if (from < 0 || !wanted[i].whole)
			assert_true(to < 0);
		else
			same(all, (uint32_t)from, few, (uint32_t)to, 0);
	}
	btf__free(few);
	kernel_btf_fini(&k);
	btf__free(all);
}

static void too_many_names_are_refused(void **state)
{
	static char names[KERNEL_BTF_NAMES + 1][16];
	struct kernel_btf k = {.n = 0};

	for (int i = 0; i <= KERNEL_BTF_NAMES; i++) {
		snprintf(names[i], sizeof(names[i]), "name_%d", i);
		assert_int_equal(kernel_btf_want(&k, names[i], BTF_KIND_STRUCT, true),
				 i < KERNEL_BTF_NAMES ? 0 : -ENOSPC);
		/* Twice is once. */
		assert_int_equal(kernel_btf_want(&k, names[0], BTF_KIND_STRUCT, true), 0);
	}
}

/* Whatever stands there: an answer or an error, and no byte outside is touched. */
static void broken_types_are_refused(void **state)
{
	struct kernel_btf k;
	unsigned char *copy;
	uint32_t seed = 1;

	want_all(&k);
	if (kernel_btf_search_running(&k))
		skip();
	assert_int_equal(kernel_btf_search(&(struct kernel_btf){.n = 0}, k.types, 8), -EINVAL);
	for (int round = 0; round < 2000; round++) {
		struct kernel_btf again;
		size_t size = k.size;

		seed = seed * 1664525u + 1013904223u;
		if (round % 4 == 0)
			size = seed % k.size;
		copy = malloc(size + !size);
		assert_non_null(copy);
		memcpy(copy, k.types, size);
		for (int i = 0; round % 4 && i < round % 16; i++) {
			seed = seed * 1664525u + 1013904223u;
			copy[(seed >> 8) % (round % 2 ? size : 64)] = (unsigned char)seed;
		}
		want_all(&again);
		if (!kernel_btf_search(&again, copy, size))
			assert_non_null(again.types);
		else
			assert_null(again.types);
		kernel_btf_fini(&again);
		free(copy);
	}
	kernel_btf_fini(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_those_that_libbpf_finds),
		cmocka_unit_test(types_are_copied_with_all_that_lies_in_them),
		cmocka_unit_test(too_many_names_are_refused),
		cmocka_unit_test(broken_types_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
