/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_command.c: `perftop benchmark`: run, print, save, compare. */
#include "tui/benchmark_command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collectors/snapshot.h"
#include "tui/benchmark_json.h"
#include "tui/benchmark_options.h"
#include "tui/benchmark_table.h"
#include "tui/written.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

_Static_assert(BENCHMARK_MAX_SUITES >= 64, "one flag for each suite");

struct command {
	struct benchmark_command opt;
	struct benchmark_report now, before;
	struct benchmark_comparison comparison;
	char why[512];
};

/* The text may tell what a file holds, so what would steer a terminal is taken out. */
static int say(const char *text, int status)
{
	char clean[512];

	snapshot_string(clean, sizeof(clean), text);
	fprintf(stderr, "perftop benchmark: %s\n", clean);
	return status;
}

static void show_contest(const struct benchmark_report *r, uint32_t first, uint32_t n, void *arg)
{
	const struct command *c = arg;

	if (c->opt.json)
		return;
	benchmark_print_contest(r, first, n, c->opt.wide, stdout);
	fflush(stdout);
}

static void run_suites(struct command *c, const bool *wanted, struct benchmark_report *r)
{
	/* What nobody can read is not worth the minutes; report() says why. */
	for (uint32_t i = 0; i < benchmark_suites_count && !ferror(stdout); i++) {
		if (!wanted[i])
			continue;
		if (c->opt.json && isatty(STDERR_FILENO))
			fprintf(stderr, "perftop benchmark: %s\n", benchmark_suites[i].name);
		benchmark_run_suite(&benchmark_suites[i], &c->opt.run, r);
	}
}

/* A baseline of another machine still tells something; that it is another has to be said. */
static int load_baseline(struct command *c)
{
	int err = benchmark_json_load(&c->before, c->opt.baseline_path, c->why, sizeof(c->why));

	return err ? say(c->why, EXIT_USAGE) : 0;
}

static void warn_of_another_machine(struct command *c)
{
	const struct benchmark_machine *was = &c->before.machine, *is = &c->now.machine;

	if (strcmp(was->cpu, is->cpu) != 0)
		fprintf(stderr,
			"perftop benchmark: the baseline is of another CPU (%s): differences may "
			"be "
			"the machine's\n",
			was->cpu);
	if (was->isa != is->isa)
		fprintf(stderr,
			"perftop benchmark: the baseline ran with %s, this run with %s: only "
			"results of the same instruction set are compared; --isa %s makes them "
			"alike\n",
			isa_name(was->isa), isa_name(is->isa), isa_name(was->isa));
}

/* Suites that seem slower run again; what is slower in both runs counts. */
static int confirm(struct command *c)
{
	bool wanted[BENCHMARK_MAX_SUITES] = {false};
	struct benchmark_comparison comparison;
	struct benchmark_report again;
	int err;

	for (uint32_t i = 0; i < c->comparison.nrows; i++) {
		const struct benchmark_difference *d = &c->comparison.rows[i];

		for (uint32_t s = 0; s < benchmark_suites_count; s++)
			wanted[s] |=
				d->change == BENCHMARK_SLOWER &&
				!strcmp(benchmark_suites[s].name, c->now.results[d->result].suite);
	}
	if (!c->opt.json)
		printf("\n%u results seem slower than the baseline: their suites run again\n",
		       c->comparison.nslower);
	benchmark_report_init(&again);
	again.machine = c->now.machine;
	run_suites(c, wanted, &again);
	err = benchmark_compare(&c->before, &again, &comparison);
	if (!err)
		benchmark_confirm(&c->comparison, &c->now, &comparison, &again);
	benchmark_comparison_fini(&comparison);
	benchmark_report_fini(&again);
	return err;
}

static int compare(struct command *c)
{
	int err;

	warn_of_another_machine(c);
	err = benchmark_compare(&c->before, &c->now, &c->comparison);
	if (!err && c->comparison.nslower)
		err = confirm(c);
	return err;
}

static int report(struct command *c)
{
	const bool compared = c->opt.baseline_path;
	int err = 0, status = c->now.nfailures || c->now.out_of_memory ? EXIT_FAILED : 0;

	if (compared && compare(c))
		return say("out of memory", EXIT_FAILED);
	if (c->opt.json) {
		err = benchmark_json_write(&c->now, compared ? &c->comparison : NULL, stdout);
	} else {
		benchmark_print_targets(&c->now, stdout);
		if (compared)
			benchmark_print_comparison(&c->now, &c->comparison, stdout);
		err = written(stdout);
	}
	if (err) {
		snprintf(c->why, sizeof(c->why), "cannot write the results: %s", strerror(-err));
		return say(c->why, EXIT_FAILED);
	}
	benchmark_print_failures(&c->now, stderr);
	if (c->opt.save_path &&
	    benchmark_json_save(&c->now, c->opt.save_path, c->why, sizeof(c->why)))
		return say(c->why, EXIT_FAILED);
	if (compared && !c->comparison.compared)
		return say("the baseline has none of these results: nothing was compared",
			   EXIT_FAILED);
	return c->comparison.nslower ? EXIT_FAILED : status;
}

static int run(struct command *c)
{
	if (c->opt.baseline_path && load_baseline(c))
		return EXIT_USAGE;
	if (c->opt.save_path && benchmark_json_can_save(c->opt.save_path, c->why, sizeof(c->why)))
		return say(c->why, EXIT_FAILED);
	c->opt.run.contest_done = show_contest;
	c->opt.run.arg = c;
	benchmark_machine_measure(&c->now.machine, &c->opt.run);
	if (!c->opt.json)
		benchmark_print_machine(&c->now.machine, stdout);
	run_suites(c, c->opt.wanted, &c->now);
	return report(c);
}

int benchmark_main(int argc, char **argv)
{
	struct command c = {0};
	int status = 0;

	if (benchmark_options_parse(&c.opt, argc, argv, c.why, sizeof(c.why)))
		return say(c.why, EXIT_USAGE);
	if (c.opt.help)
		benchmark_options_help();
	else if (c.opt.list)
		benchmark_options_list();
	else
		status = run(&c);
	if ((c.opt.help || c.opt.list) && written(stdout))
		status = say("cannot write the output", EXIT_FAILED);
	benchmark_comparison_fini(&c.comparison);
	benchmark_report_fini(&c.now);
	benchmark_report_fini(&c.before);
	return status;
}
