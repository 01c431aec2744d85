/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_benchmark.c: what `perftop benchmark` says of samples, targets and baselines.
 * Long because the statistics, the reader of baselines and the targets are one command.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/benchmark/benchmark_published.h"
#include "kernels/kernels.h"
#include "tui/benchmark_command.h"
#include "tui/benchmark_json.h"
#include "tui/benchmark_options.h"
#include "tui/benchmark_table.h"

static uint64_t random_state;

/* Uniform in (0, 1). */
static double draw(void)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return ((double)(random_state >> 12) + 0.5) / (double)(1ull << 52);
}

/* n times around `center`, as a busy machine gives them: some spread, and a tail upwards. */
static void times(double *t, uint32_t n, double center, double spread)
{
	for (uint32_t i = 0; i < n; i++)
		t[i] = center * (1 + spread * (draw() + draw() + draw() - 1.5) +
				 (draw() < 0.05 ? 3 * spread * draw() : 0));
}

static void samples_are_summed_up(void **state)
{
	double t[] = {7, 3, 9, 1, 10, 2, 8, 4, 6, 5};
	struct benchmark_stats s = benchmark_stats_of(t, 10);

	assert_int_equal(s.n, 10);
	assert_true(s.mean == 5.5 && s.median == 5.5 && s.min == 1 && s.max == 10);
	assert_true(fabs(s.stddev - 3.0276503540974917) < 1e-12);
	assert_true(fabs(s.p95 - 9.55) < 1e-12 && fabs(s.p99 - 9.91) < 1e-12);
	s = benchmark_stats_of(t, 1);
	assert_true(s.median == 1 && s.p99 == 1 && s.stddev == 0);
	s = benchmark_stats_of(t, 0);
	assert_true(s.n == 0 && s.median == 0);
}

/* P(U >= u) by going through every way to pick which ranks are the later run's. */
static double by_enumeration(uint32_t n, uint32_t m, double u)
{
	uint32_t all = 0, tail = 0;

	for (uint32_t set = 0; set < 1u << (n + m); set++) {
		uint32_t below = 0, pairs = 0;

		if ((uint32_t)__builtin_popcount(set) != m)
			continue;
		for (uint32_t i = 0; i < n + m; i++) {
			if (set & 1u << i)
				pairs += below;
			else
				below++;
		}
		all++;
		tail += pairs >= u;
	}
	return (double)tail / all;
}

static void the_rank_test_is_exact_for_few_samples(void **state)
{
	const double before[] = {1, 3, 5, 7, 9}, now[] = {2, 4, 6.5, 11, 12, 13};
	const double above[] = {10, 11, 12};
	/* Pairs in which now is the later one: 1 + 2 + 3 + 5 + 5 + 5. */
	double p = benchmark_stats_slower_p(before, 5, now, 6, 1);

	assert_true(fabs(p - by_enumeration(5, 6, 21)) < 1e-12);
	assert_true(fabs(benchmark_stats_slower_p(before, 3, above, 3, 1) - 1 / 20.0) < 1e-12);
	/* Times the factor, they are no longer above. */
	assert_true(benchmark_stats_slower_p(before, 5, above, 3, 20) > 0.3);
	assert_true(benchmark_stats_slower_p(before, 0, above, 3, 1) == 1);
	assert_true(benchmark_stats_slower_p(before, 5, above, 0, 1) == 1);
}

static void the_rank_test_of_many_agrees_with_that_of_few(void **state)
{
	double a[21], b[21], exact, normal;

	for (int i = 0; i < 21; i++) {
		a[i] = 2 * i;
		b[i] = 2 * i + 9;
	}
	exact = benchmark_stats_slower_p(a, 20, b, 20, 1);
	normal = benchmark_stats_slower_p(a, 21, b, 21, 1);
	assert_true(exact > 0.001 && exact < 0.1);
	assert_true(fabs(log(normal / exact)) < 0.2);
	for (int i = 0; i < 21; i++)
		a[i] = b[i] = 5; /* nothing but ties */
	assert_true(benchmark_stats_slower_p(a, 21, b, 21, 1) > 0.4);
}

static void add(struct benchmark_report *r, const char *name, uint32_t n, double center,
		double spread)
{
	struct benchmark_result *to = benchmark_report_add_result(r);
	double t[256];

	assert_non_null(to);
	times(t, n, center, spread);
	to->suite = benchmark_report_string(r, "suite");
	to->contest = benchmark_report_string(r, "contest");
	to->name = benchmark_report_string(r, name);
	to->isa = ISA_SCALAR;
	to->nparams = 2;
	to->params[0] = (struct benchmark_param){benchmark_report_string(r, "S"), NULL, 512};
	to->params[1] = (struct benchmark_param){benchmark_report_string(r, "dtype"),
						 benchmark_report_string(r, "bf16"), 0};
	assert_int_equal(benchmark_report_add_samples(to, t, n), 0);
}

/* A baseline of 40 results of ±3 % noise; the run has one 15 % slower, one 20 % faster. */
static void a_planted_slowdown_is_found_and_noise_is_not(void **state)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct benchmark_report before, now;
		struct benchmark_comparison c;

		random_state = seed;
		benchmark_report_init(&before);
		benchmark_report_init(&now);
		for (int i = 0; i < 40; i++) {
			char name[16];
			double by = i == 7 ? 1.15 : i == 9 ? 0.8 : i == 11 ? 1.08 : 1;

			snprintf(name, sizeof(name), "kernel_%d", i);
			add(&before, name, 40, 1000, 0.03);
			add(&now, name, 40, 1000 * by, i == 13 ? 0.2 : 0.03);
		}
		assert_int_equal(benchmark_compare(&before, &now, &c), 0);
		assert_int_equal(c.compared, 40);
		assert_int_equal(c.nrows, 2);
		assert_int_equal(c.nslower, 1);
		assert_int_equal(c.rows[0].result, 7);
		assert_int_equal(c.rows[0].change, BENCHMARK_SLOWER);
		assert_int_equal(c.rows[1].result, 9);
		assert_int_equal(c.rows[1].change, BENCHMARK_FASTER);
		benchmark_comparison_fini(&c);
		benchmark_report_fini(&before);
		benchmark_report_fini(&now);
	}
}

static void a_slowdown_that_does_not_come_again_does_not_count(void **state)
{
	struct benchmark_report before, now, again;
	struct benchmark_comparison c, c_again;

	random_state = 3;
	benchmark_report_init(&before);
	benchmark_report_init(&now);
	benchmark_report_init(&again);
	add(&before, "a", 20, 100, 0.02);
	add(&before, "b", 20, 100, 0.02);
	add(&now, "a", 20, 130, 0.02);
	add(&now, "b", 20, 130, 0.02);
	add(&again, "b", 20, 130, 0.02);
	add(&again, "a", 20, 100, 0.02);
	assert_int_equal(benchmark_compare(&before, &now, &c), 0);
	assert_int_equal(benchmark_compare(&before, &again, &c_again), 0);
	assert_int_equal(c.nslower, 2);
	benchmark_confirm(&c, &now, &c_again, &again);
	assert_int_equal(c.nslower, 1);
	assert_int_equal(c.rows[0].change, BENCHMARK_SAME);
	assert_int_equal(c.rows[1].change, BENCHMARK_SLOWER);
	benchmark_comparison_fini(&c);
	benchmark_comparison_fini(&c_again);
	benchmark_report_fini(&before);
	benchmark_report_fini(&now);
	benchmark_report_fini(&again);
}

static void a_machine_that_is_slower_does_not_count(void **state)
{
	struct benchmark_report before = {0}, now = {0};
	struct benchmark_comparison c;

	random_state = 4;
	for (int i = 0; i < 3; i++) {
		char name[8];

		snprintf(name, sizeof(name), "k%d", i);
		add(&before, name, 40, 100, 0.02);
		add(&now, name, 40, i == 1 ? 200 : 150, 0.02);
		before.results[i].reference_ns = 10;
		now.results[i].reference_ns = i == 2 ? 9 : 12;
		before.results[i].copy_ns = 100;
		now.results[i].copy_ns = i == 2 ? 90 : 150; /* what slowed most counts */
	}
	assert_int_equal(benchmark_compare(&before, &now, &c), 0);
	assert_int_equal(c.nslower, 2);
	assert_int_equal(c.rows[0].result, 1); /* by more than the machine */
	assert_int_equal(c.rows[1].result, 2); /* which was faster there */
	benchmark_comparison_fini(&c);
	benchmark_report_fini(&before);
	benchmark_report_fini(&now);
}

/* Others that take the CPU now and then slow most calls, and leave some as they were. */
static void a_busy_machine_counts_as_slower_code(void **state)
{
	struct benchmark_report before = {0}, now = {0};
	struct benchmark_comparison c;

	random_state = 6;
	for (int i = 0; i < 2; i++) {
		double t[100];

		add(&before, i ? "code" : "machine", 100, 100, 0.02);
		add(&now, i ? "code" : "machine", 100, 150, 0.02);
		memcpy(t, now.results[i].samples_ns, sizeof(t));
		for (int k = 0; k < 10; k++)
			t[k] = i ? 130 : 100;
		assert_int_equal(benchmark_report_add_samples(&now.results[i], t, 100), 0);
	}
	assert_int_equal(benchmark_compare(&before, &now, &c), 0);
	assert_int_equal(c.nslower, 1);
	assert_int_equal(c.rows[0].result, 1);
	benchmark_comparison_fini(&c);
	assert_int_equal(benchmark_compare(&now, &before, &c), 0);
	assert_int_equal(c.nrows, 1); /* and faster likewise */
	assert_int_equal(c.rows[0].change, BENCHMARK_FASTER);
	benchmark_comparison_fini(&c);
	benchmark_report_fini(&before);
	benchmark_report_fini(&now);
}

static void too_few_samples_are_said_to_be(void **state)
{
	struct benchmark_report before, now;
	struct benchmark_comparison c;

	random_state = 5;
	benchmark_report_init(&before);
	benchmark_report_init(&now);
	add(&before, "a", 3, 100, 0.01);
	add(&now, "a", 3, 300, 0.01);
	add(&now, "new", 3, 300, 0.01);
	assert_int_equal(benchmark_compare(&before, &now, &c), 0);
	assert_int_equal(c.nrows, 0);
	assert_int_equal(c.too_few, 1);
	assert_int_equal(c.unknown, 1);
	benchmark_comparison_fini(&c);
	benchmark_report_fini(&before);
	benchmark_report_fini(&now);
}

static void temp_path(char *path, size_t size)
{
	int fd;

	snprintf(path, size, "/tmp/perftop-benchmark.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
}

static void a_baseline_comes_back_as_it_was_saved(void **state)
{
	struct benchmark_report r, back = {0};
	char path[64], why[512] = "";

	random_state = 9;
	benchmark_report_init(&r);
	snprintf(r.machine.cpu, sizeof(r.machine.cpu), "a \"quoted\" CPU \\ with \xc2\xb5");
	r.machine.isa = ISA_AVX2;
	add(&r, "one", 17, 12.25, 0.1);
	add(&r, "two", 3, 1e9, 0.1);
	r.results[1].isa = ISA_COUNT;
	temp_path(path, sizeof(path));
	assert_int_equal(benchmark_json_save(&r, path, why, sizeof(why)), 0);
	if (benchmark_json_load(&back, path, why, sizeof(why)))
		fail_msg("%s", why);
	assert_string_equal(back.machine.cpu, r.machine.cpu);
	assert_int_equal(back.machine.isa, ISA_AVX2);
	assert_int_equal(back.nresults, 2);
	for (uint32_t i = 0; i < 2; i++) {
		const struct benchmark_result *a = &r.results[i], *b = &back.results[i];

		assert_true(benchmark_same_result(a, b));
		assert_int_equal(a->ns.n, b->ns.n);
		for (uint32_t k = 0; k < a->ns.n; k++)
			assert_true(fabs(b->samples_ns[k] / a->samples_ns[k] - 1) < 1e-8);
	}
	assert_int_equal(benchmark_json_save(&r, "/nonexistent/x", why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "/nonexistent/x"));
	unlink(path);
	benchmark_report_fini(&r);
	benchmark_report_fini(&back);
}

/* Saving renames a file over the path: done to /dev/null, it would take that from everyone. */
static void saving_takes_the_place_of_what_is_no_file(void **state)
{
	struct benchmark_report r;
	char path[64], link[80], why[512] = "";
	struct stat st;

	benchmark_report_init(&r);
	temp_path(path, sizeof(path));
	snprintf(link, sizeof(link), "%s.link", path);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(benchmark_json_can_save(link, why, sizeof(why)), 0);
	assert_int_equal(benchmark_json_save(&r, link, why, sizeof(why)), 0);
	assert_true(!lstat(link, &st) && S_ISLNK(st.st_mode));
	assert_true(!stat(path, &st) && st.st_size > 0);
	unlink(path);
	assert_int_equal(benchmark_json_save(&r, link, why, sizeof(why)), -ENOENT);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(benchmark_json_can_save(link, why, sizeof(why)), -EINVAL);
	assert_int_equal(benchmark_json_save(&r, link, why, sizeof(why)), -EINVAL);
	assert_int_equal(benchmark_json_save(&r, path, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "not a regular file"));
	assert_true(!lstat(path, &st) && S_ISFIFO(st.st_mode));
	assert_int_equal(benchmark_json_can_save("/tmp", why, sizeof(why)), -EISDIR);
	unlink(link);
	unlink(path);
	benchmark_report_fini(&r);
}

#define HEAD "{\"schema\":\"perftop.benchmark/1\",\"machine\":{\"cpu\":\"c\",\"isa\":\"avx2\"}"
#define ROW                                                                                     \
	"\"suite\":\"s\",\"contest\":\"c\",\"name\":\"n\",\"isa\":\"avx2\",\"reference_ns\":1," \
	"\"copy_ns\":1,"                                                                        \
	"\"params\":{\"S\":1}"

static void a_broken_baseline_is_refused_with_the_reason(void **state)
{
	static const struct {
		const char *text, *why;
	} broken[] = {
		{"", "no JSON"},
		{"{\"schema\":", "no JSON"},
		{"\xff\xfe\x00", "no JSON"},
		{"[]", "missing"},
		{"{\"schema\":\"perftop.snapshot/1\"}", "perftop.snapshot/1"},
		{"{\"schema\":1}", "missing"},
		{"{\"schema\":\"perftop.benchmark/1\"}", "no machine"},
		{HEAD "}", "no results"},
		{HEAD ",\"results\":{}}", "no results"},
		{HEAD ",\"results\":[1]}", "result 0"},
		{HEAD ",\"results\":[{" ROW "}]}", "samples_ns"},
		{HEAD ",\"results\":[{" ROW ",\"samples_ns\":[]}]}", "samples_ns"},
		{HEAD ",\"results\":[{" ROW ",\"samples_ns\":[1,-1]}]}", "not a time"},
		{HEAD ",\"results\":[{" ROW ",\"samples_ns\":[\"1\"]}]}", "not a time"},
		{HEAD ",\"results\":[{" ROW ",\"samples_ns\":[1]},{}]}", "result 1"},
		{HEAD
		 ",\"results\":[{\"suite\":\"s\",\"contest\":\"c\",\"name\":\"n\",\"isa\":"
		 "\"mmx\",\"reference_ns\":1,\"copy_ns\":1,\"params\":{},\"samples_ns\":[1]}]}",
		 "mmx"},
		{HEAD ",\"results\":[{\"suite\":\"s\",\"contest\":\"c\",\"name\":\"n\",\"isa\":"
		      "\"avx2\",\"reference_ns\":1,\"copy_ns\":1,\"params\":{\"S\":[]},\"samples_"
		      "ns\":[1]}]}",
		 "param S"},
	};
	struct benchmark_report r = {0};
	char path[64], why[512];

	temp_path(path, sizeof(path));
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		fputs(broken[i].text, f);
		fclose(f);
		why[0] = '\0';
		assert_int_equal(benchmark_json_load(&r, path, why, sizeof(why)), -EINVAL);
		if (!strstr(why, broken[i].why) || !strstr(why, path))
			fail_msg("%s: \"%s\" does not say %s", broken[i].text, why, broken[i].why);
		benchmark_report_fini(&r);
	}
	unlink(path);
	assert_int_equal(benchmark_json_load(&r, path, why, sizeof(why)), -ENOENT);
	benchmark_report_fini(&r);
	assert_int_equal(benchmark_json_load(&r, "/tmp", why, sizeof(why)), -EINVAL);
	benchmark_report_fini(&r);
}

/* ---- targets and contests, through suites of our own */

static int two_targets(struct benchmark *b)
{
	struct benchmark_target t = {
		.name = "time", .seed = "s", .target = "< 10 us", .limit = 10, .unit = "us"};
	int err = 0;

	t.measured = 9.99;
	err |= benchmark_target(b, &t);
	t.measured = 10;
	err |= benchmark_target(b, &t);
	t.at_least = true;
	err |= benchmark_target(b, &t);
	t.measured = 9.99;
	err |= benchmark_target(b, &t);
	t.measured = NAN;
	t.reason = "no counterpart";
	err |= benchmark_target(b, &t);
	assert_int_equal(err, 0);
	t.reason = NULL;
	assert_int_equal(benchmark_target(b, &t), -EINVAL);
	return 0;
}

static void targets_pass_by_their_limit(void **state)
{
	static const enum benchmark_status want[] = {
		BENCHMARK_PASS, BENCHMARK_MISSED, BENCHMARK_PASS, BENCHMARK_MISSED, BENCHMARK_NA};
	const struct benchmark_suite suite = {"mine", "", two_targets};
	const struct benchmark_options o = {.quick = true};
	struct benchmark_report r = {0};

	benchmark_report_init(&r);
	assert_int_not_equal(benchmark_run_suite(&suite, &o, &r), 0);
	assert_int_equal(r.ntargets, 5);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(r.targets[i].status, want[i]);
	assert_int_equal(r.nfailures, 1); /* the one without a reason */
	assert_string_equal(r.failures[0].suite, "mine");
	benchmark_report_fini(&r);
}

struct work {
	uint32_t calls, spins;
	int err;
};

static int work(void *arg)
{
	struct work *w = arg;

	w->calls++;
	for (volatile uint32_t i = 0; i < w->spins; i++)
		;
	return w->err;
}

static int hundred_times(struct benchmark *b)
{
	struct work quick = {.spins = 100}, slow = {.spins = 30000}, again = {.spins = 100};
	const struct benchmark_param own = {"ef", NULL, 50}, all = {"D", NULL, 8};
	const struct benchmark_case cases[] = {
		{.name = "slow",
		 .isa = ISA_SCALAR,
		 .run = work,
		 .arg = &slow,
		 .baseline = "textbook"},
		{.name = "quick",
		 .isa = ISA_AVX2,
		 .run = work,
		 .arg = &quick,
		 .ops = 10,
		 .flops = 1000,
		 .params = &own,
		 .nparams = 1},
		{.name = "alone", .isa = ISA_COUNT, .run = work, .arg = &again, .once = true},
	};
	double median[3];

	assert_int_equal(benchmark_contest(b, "loops", &all, 1, cases, 3, median), 0);
	assert_true(median[0] > 20 * median[1]);
	/* Many a reading, of which there are as many. */
	assert_true(quick.calls > 3 * again.calls);
	assert_true(benchmark_quantile_ns(b, 1, 0) <= median[1]);
	assert_true(benchmark_quantile_ns(b, 1, 1) >= median[1]);
	return 0;
}

static void a_contest_measures_all_in_turn(void **state)
{
	const struct benchmark_suite suite = {"mine", "", hundred_times};
	const struct benchmark_options o = {.quick = true};
	struct benchmark_report r = {0};

	benchmark_report_init(&r);
	assert_int_equal(benchmark_run_suite(&suite, &o, &r), 0);
	assert_int_equal(r.nresults, 3);
	assert_string_equal(r.results[1].name, "quick");
	assert_int_equal(r.results[1].nparams, 2);
	assert_int_equal(r.results[1].nvs, 1);
	assert_string_equal(r.results[1].vs[0].name, "textbook");
	assert_true(
		fabs(r.results[1].vs[0].ratio * r.results[1].ns.median / r.results[0].ns.median -
		     1) < 1e-9);
	assert_int_equal(r.results[0].nvs, 0); /* not against itself */
	assert_true(fabs(r.results[1].gflops - 100 / r.results[1].ns.median) < 1e-9);
	assert_true(r.results[0].peak_rss_bytes > 100000);
	benchmark_report_fini(&r);
}

static int failing(struct benchmark *b)
{
	struct work w = {.err = -EDOM};
	const struct benchmark_case c = {.name = "bad kernel", .run = work, .arg = &w};

	assert_int_equal(benchmark_contest(b, "contest", NULL, 0, &c, 1, NULL), -EDOM);
	assert_int_equal(benchmark_contest(b, "empty", NULL, 0, &c, 0, NULL), -EINVAL);
	assert_null(benchmark_alloc(b, SIZE_MAX - 100));
	return -EDOM;
}

static void a_kernel_that_fails_is_told(void **state)
{
	const struct benchmark_suite suite = {"mine", "", failing};
	const struct benchmark_options o = {.quick = true};
	struct benchmark_report r = {0};

	benchmark_report_init(&r);
	assert_int_equal(benchmark_run_suite(&suite, &o, &r), -EDOM);
	assert_int_equal(r.nresults, 0);
	assert_int_equal(r.nfailures, 3);
	assert_non_null(strstr(r.failures[0].what, "contest: bad kernel"));
	benchmark_report_fini(&r);
}

/* ---- what people read */

static void assert_fits(const char *text)
{
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
		size_t n = strcspn(line, "\n");

		if (n > BENCHMARK_WIDTH || (n && line[n - 1] == ' '))
			fail_msg("%zu columns: \"%.*s\"", n, (int)n, line);
		if (!line[n])
			break;
	}
}

static void tables_fit_the_width(void **state)
{
	struct benchmark_report r = {0};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct benchmark_target t = {
		.name = "flash attention speed-up, S=4096 D=64",
		.seed = "V3 benchmark results, 1.1",
		.target = "2.49x-7.47x",
		.limit = 2.49,
		.at_least = true,
		.measured = 20,
		.unit = "x",
		.baseline = "textbook loop",
		.reason = "a reason that is quite long, since it says which part of the seed's "
			  "arithmetic cannot be right and why, at some length"};

	benchmark_report_init(&r);
	random_state = 2;
	for (uint32_t i = 0; i < 3; i++) {
		struct benchmark_result *at;

		add(&r, i ? "attention_memory_efficient" : "attention_textbook", 20, 123456, 0.1);
		at = &r.results[i];
		at->gflops = at->gbytes_s = 123.4;
		at->pct_peak = 87.6;
		at->scratch_bytes = at->rss_growth_bytes = 123456789;
		at->nvs = 2;
		at->vs[0] = (struct benchmark_vs){"textbook", 123};
		at->vs[1] = (struct benchmark_vs){"standard", 1.23};
	}
	assert_int_equal(benchmark_report_add_target(&r, "s", &t), 0);
	t.name = "a name that is longer than its column, which is 45 characters wide";
	t.unit = "s";
	t.measured = 1.25e-6;
	t.baseline = NULL;
	assert_int_equal(benchmark_report_add_target(&r, "s", &t), 0);
	benchmark_print_contest(&r, 0, 3, false, out);
	benchmark_print_targets(&r, out);
	fflush(out);
	assert_fits(text);
	assert_non_null(strstr(text, "/textbook"));
	assert_non_null(strstr(text, "S=512 dtype=bf16"));
	assert_non_null(strstr(text, " 1.25 us\n"));
	assert_non_null(strstr(text, "2 targets: 1 PASS, 1 MISSED, 0 N/A"));
	fclose(out);
	free(text);
	benchmark_report_fini(&r);
}

static void refuse(const char *line, const char *want)
{
	struct benchmark_command c = {0};
	char words[256], *argv[16] = {(char *)"benchmark"}, why[256] = "";
	int argc = 1;

	snprintf(words, sizeof(words), "%s", line);
	for (char *rest = words, *word; (word = strtok_r(rest, " ", &rest));)
		argv[argc++] = word;
	assert_int_equal(benchmark_options_parse(&c, argc, argv, why, sizeof(why)), -EINVAL);
	if (!strstr(why, want))
		fail_msg("%s: \"%s\" does not say %s", line, why, want);
}

static void bad_options_are_refused_with_the_fix(void **state)
{
	char *argv[] = {
		(char *)"benchmark", (char *)"--suite", (char *)"flash-attention", (char *)"--time",
		(char *)"20ms",	     (char *)"--isa",	(char *)"scalar",	   NULL};
	struct benchmark_command c = {0};
	uint32_t wanted = 0;
	char why[256];

	refuse("--suite nothing", "--list");
	refuse("--suite flash-attention,nothing", "nothing");
	refuse("--suite", "wants a value");
	refuse("--isa mmx", "avx2");
	refuse("--time 0", "1ms");
	refuse("--time x", "0.5s");
	refuse("--bogus", "--help");
	refuse("word", "--help");
	assert_int_equal(benchmark_options_parse(&c, 7, argv, why, sizeof(why)), 0);
	for (uint32_t i = 0; i < benchmark_suites_count; i++)
		wanted += c.wanted[i];
	assert_int_equal(wanted, 1);
	assert_true(c.run.contest_s == 0.02 && c.run.isa == ISA_SCALAR);
}

static void every_published_row_names_a_suite(void **state)
{
	for (uint32_t i = 0; i < benchmark_published_count; i++) {
		const struct benchmark_published *p = &benchmark_published[i];
		bool found = false;

		for (uint32_t s = 0; s < benchmark_suites_count; s++)
			found |= !strcmp(benchmark_suites[s].name, p->suite);
		if (!found)
			fail_msg("%s: there is no suite %s", p->limit.name, p->suite);
		assert_true(p->contest || p->limit.reason);
		assert_true(p->limit.ns > 0 && p->quantile >= 0 && p->quantile <= 1);
	}
}

static int fisher_suite(struct benchmark *b)
{
	const struct benchmark_param n = {"n", NULL, 1000}, other = {"n", NULL, 10000};
	struct work w = {.spins = 10};
	const struct benchmark_case cases[] = {
		{.name = "mean and square", .run = work, .arg = &w, .isa = ISA_SCALAR},
		{.name = "mean and square", .run = work, .arg = &w, .isa = ISA_AVX2},
	};
	int err = benchmark_contest(b, "Fisher update", &n, 1, cases, 2, NULL);

	return err ? err : benchmark_contest(b, "Fisher update", &other, 1, cases, 2, NULL);
}

static void published_times_are_answered_from_results(void **state)
{
	const struct benchmark_suite suite = {"ewc", "", fisher_suite};
	const struct benchmark_options o = {.quick = true};
	struct benchmark_report r = {0};

	assert_int_equal(benchmark_run_suite(&suite, &o, &r), 0);
	assert_int_equal(r.ntargets, 2);
	assert_string_equal(r.targets[0].t.name, "Fisher update, 1,000 weights");
	assert_true(fabs(r.targets[0].t.measured - r.results[1].ns.median / 1000) < 1e-9);
	assert_true(fabs(r.targets[1].t.measured - r.results[3].ns.median / 1000) < 1e-9);
	assert_int_equal(r.targets[1].status, BENCHMARK_PASS);
	benchmark_report_fini(&r);
}

static void memory_is_read_to_the_last_float(void **state)
{
	static float p[2051];

	for (uint32_t i = 0; i < 2051; i++)
		p[i] = (float)(i % 13) - 3;
	for (uint32_t k = 0; k < kernels_count; k++) {
		if (kernels[k].kind != KERNEL_read || !kernels_supported(&kernels[k]))
			continue;
		for (uint32_t n = 0; n <= 2050; n += n < 300 ? 1 : 250) {
			double sum = 0; /* small integers: exact in any order */

			for (uint32_t i = 0; i < n; i++)
				sum += p[i + 1];
			assert_true(kernels[k].run.read(p + 1, n) == (float)sum);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_are_summed_up),
		cmocka_unit_test(the_rank_test_is_exact_for_few_samples),
		cmocka_unit_test(the_rank_test_of_many_agrees_with_that_of_few),
		cmocka_unit_test(a_planted_slowdown_is_found_and_noise_is_not),
		cmocka_unit_test(a_slowdown_that_does_not_come_again_does_not_count),
		cmocka_unit_test(a_machine_that_is_slower_does_not_count),
		cmocka_unit_test(a_busy_machine_counts_as_slower_code),
		cmocka_unit_test(too_few_samples_are_said_to_be),
		cmocka_unit_test(a_baseline_comes_back_as_it_was_saved),
		cmocka_unit_test(saving_takes_the_place_of_what_is_no_file),
		cmocka_unit_test(a_broken_baseline_is_refused_with_the_reason),
		cmocka_unit_test(targets_pass_by_their_limit),
		cmocka_unit_test(a_contest_measures_all_in_turn),
		cmocka_unit_test(a_kernel_that_fails_is_told),
		cmocka_unit_test(tables_fit_the_width),
		cmocka_unit_test(bad_options_are_refused_with_the_fix),
		cmocka_unit_test(every_published_row_names_a_suite),
		cmocka_unit_test(published_times_are_answered_from_results),
		cmocka_unit_test(memory_is_read_to_the_last_float),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
