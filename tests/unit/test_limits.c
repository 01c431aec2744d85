/* SPDX-License-Identifier: Apache-2.0 */
/* test_limits.c: the limits of control groups, read from trees of both versions made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "collectors/limits.h"

#define SECOND 1000000000ull

static char root[64];
static struct limits *limits;

static int setup(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/perftop-limits.XXXXXX");
	limits = mkdtemp(root) ? limits_new(root) : NULL;
	return !limits;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	limits_free(limits);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

/* Text into a file below the root, whose folders are made. */
static void put(const char *path, const char *text)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		mkdir(full, 0755);
	}
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static struct snap_proc read_at(uint64_t now_ns)
{
	struct snap_proc p = {0};

	limits_read(limits, now_ns, &p);
	return p;
}

static void nothing_limits_where_there_is_no_limit(void **state)
{
	struct snap_proc p;

	(void)state;
	put("cgroup.procs", "");
	put("app/cpu.max", "max 100000\n");
	put("app/memory.max", "max\n");
	limits_find(limits, "0::/app\n");
	p = read_at(SECOND);
	assert_true(p.quota_cpus == 0 && p.memory_limit_bytes == 0);
	assert_string_equal(p.quota_group, "");
	for (int i = 0; i < 3; i++) {
		static const char *const odd[] = {"", "0::/gone\n", "nonsense"};

		limits_find(limits, odd[i]);
		p = read_at(SECOND * 2);
		assert_true(p.quota_cpus == 0 && p.memory_limit_bytes == 0);
	}
}

static void the_group_around_may_be_the_one_that_limits(void **state)
{
	struct snap_proc p;

	(void)state;
	put("cgroup.procs", "");
	put("pod/cpu.max", "150000 100000\n");
	put("pod/cpu.stat", "usage_usec 1\nnr_periods 100\nnr_throttled 10\nthrottled_usec 5\n");
	put("pod/app/cpu.max", "200000 100000\n");
	put("pod/app/cpu.stat", "nr_periods 100\nnr_throttled 0\n");
	put("pod/app/memory.max", "1048576\n");
	put("pod/app/memory.high", "max\n");
	put("pod/app/memory.current", "524288\n");
	put("pod/app/memory.events", "low 0\nhigh 0\nmax 7\noom 0\n");
	limits_find(limits, "0::/pod/app\n");
	p = read_at(SECOND);
	assert_true(p.throttled_pct == 0 &&
		    p.memory_limit_rate == 0); /* of before it was watched */
	put("pod/cpu.stat", "nr_periods 120\nnr_throttled 15\n");
	put("pod/app/cpu.stat", "nr_periods 120\nnr_throttled 1\n");
	put("pod/app/memory.events", "low 0\nhigh 0\nmax 17\noom 0\n");
	p = read_at(SECOND * 3);
	assert_string_equal(p.quota_group, "/pod");
	assert_true(p.quota_cpus == 1.5 && p.throttled_pct == 25);
	assert_string_equal(p.memory_group, "/pod/app");
	assert_int_equal(p.memory_limit_bytes, 1048576);
	assert_int_equal(p.memory_group_bytes, 524288);
	assert_true(p.memory_limit_rate == 5);
	/* A tick within the window shows the same; found again, what was counted is not lost. */
	limits_find(limits, "0::/pod/app\n");
	p = read_at(SECOND * 3 + 50000000);
	assert_true(p.throttled_pct == 25);
	p = read_at(SECOND * 4);
	assert_true(p.throttled_pct == 0);
}

static void version_1_has_a_tree_for_each(void **state)
{
	static const char groups[] = "12:pids:/other\n4:memory:/docker/abc\n"
				     "3:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n0::/x\n";
	struct snap_proc p;

	(void)state;
	put("cpu,cpuacct/cgroup.procs", "");
	put("cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
	put("cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "20000\n");
	put("cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
	put("cpu,cpuacct/docker/abc/cpu.stat", "nr_periods 10\nnr_throttled 1\n");
	put("memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("memory/docker/abc/memory.limit_in_bytes", "4096\n");
	put("memory/docker/abc/memory.usage_in_bytes", "4096\n");
	put("memory/docker/abc/memory.failcnt", "3\n");
	limits_find(limits, groups);
	read_at(SECOND);
	put("cpu,cpuacct/docker/abc/cpu.stat", "nr_periods 20\nnr_throttled 11\n");
	put("memory/docker/abc/memory.failcnt", "5\n");
	p = read_at(SECOND * 2);
	assert_string_equal(p.quota_group, "/docker/abc");
	assert_true(p.quota_cpus == 0.2 && p.throttled_pct == 100);
	assert_string_equal(p.memory_group, "/docker/abc");
	assert_true(p.memory_limit_bytes == 4096 && p.memory_limit_rate == 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_limits_where_there_is_no_limit, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_group_around_may_be_the_one_that_limits, setup,
						teardown),
		cmocka_unit_test_setup_teardown(version_1_has_a_tree_for_each, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
