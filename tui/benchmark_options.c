/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_options.c: reading the command line of `perftop benchmark`. */
#include "tui/benchmark_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/options.h"

struct parser {
	struct benchmark_command *c;
	char *why;
	size_t size;
};

enum { SUITE = 1, JSON, SAVE, BASELINE, ISA, QUICK, TIME, WIDE, LIST, HELP };

static const struct option long_options[] = {
	{"suite", required_argument, NULL, SUITE},
	{"json", no_argument, NULL, JSON},
	{"save-baseline", required_argument, NULL, SAVE},
	{"baseline", required_argument, NULL, BASELINE},
	{"isa", required_argument, NULL, ISA},
	{"quick", no_argument, NULL, QUICK},
	{"time", required_argument, NULL, TIME},
	{"wide", no_argument, NULL, WIDE},
	{"list", no_argument, NULL, LIST},
	{"help", no_argument, NULL, HELP},
	{NULL, 0, NULL, 0},
};

void benchmark_options_help(void)
{
	puts("Usage: perftop benchmark [OPTIONS]\n"
	     "Measure the engine's kernels beside their baselines and this machine's peak, and "
	     "hold\n"
	     "them against published targets.\n"
	     "\n"
	     "  --suite NAME[,NAME]    what to measure (default: all); see --list\n"
	     "  --json                 one object, perftop.benchmark/1, instead of tables\n"
	     "  --save-baseline FILE   keep the results, with every sample\n"
	     "  --baseline FILE        compare with such a file, and exit with 1 when something\n"
	     "                         regressed: its median is over 10 % slower, and a one-sided\n"
	     "                         Mann-Whitney U test of the samples against 1.1 times the\n"
	     "                         baseline's says so (p < 0.01 / results compared), its\n"
	     "                         fastest calls (5 %) too, beyond what reference loops\n"
	     "                         slowed down, and again when its suite is measured a\n"
	     "                         second time; or when there is nothing to compare\n"
	     "  --isa NAME             scalar, neon, avx2, avx512 or auto (default; PERFTOP_ISA "
	     "sets\n"
	     "                         it)\n"
	     "  --time TIME            for the rounds of each contest (default 0.5s)\n"
	     "  --quick                small shapes and few rounds: shows that all runs, no "
	     "figures\n"
	     "  --wide                 all columns, however wide\n"
	     "  --list                 the suites\n"
	     "  --help                 this text\n"
	     "\n"
	     "Contenders of a contest run in turn. Times are of the wall clock, or of the CPU "
	     "where\n"
	     "others took it in between. /textbook: how many times as fast as the textbook loop,\n"
	     "/standard: as the kernel of the same instruction set that writes all scores. % peak\n"
	     "is of one core's multiply-adds, measured beside. scratch is what a kernel asks for,\n"
	     "RSS + what became resident in its first call.\n"
	     "Exit status: 0; 1 a suite failed, or a regression; 2 bad usage.");
}

void benchmark_options_list(void)
{
	for (uint32_t i = 0; i < benchmark_suites_count; i++)
		printf("%-16s %s\n", benchmark_suites[i].name, benchmark_suites[i].help);
}

__attribute__((format(printf, 2, 3))) static int bad(struct parser *p, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(p->why, p->size, format, ap);
	va_end(ap);
	return -EINVAL;
}

static int parse_suites(struct parser *p, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, ",");
		bool found = false, all = n == 3 && !strncmp(text, "all", n);

		for (uint32_t i = 0; i < benchmark_suites_count; i++) {
			const char *name = benchmark_suites[i].name;

			if (!all && (strlen(name) != n || strncmp(name, text, n) != 0))
				continue;
			p->c->wanted[i] = true;
			found = true;
		}
		if (!found)
			return bad(p,
				   "--suite %.*s: no such suite; perftop benchmark --list shows "
				   "them",
				   (int)(n < 60 ? n : 60), text);
		text += n + (text[n] == ',');
	}
	return 0;
}

static int parse_isa(struct parser *p, const char *text)
{
	int err = isa_choose(text, &p->c->run.isa);

	if (!text)
		text = "(of the environment's PERFTOP_ISA)";
	if (err == -ENOTSUP)
		return bad(p, "--isa %.60s: this CPU does not have it", text);
	return err ? bad(p, "--isa %.60s: give scalar, neon, avx2, avx512 or auto", text) : 0;
}

static int parse_contest_time(struct parser *p, const char *text)
{
	uint64_t ns;

	if (options_parse_time(text, &ns) || ns < 1000000 || ns > 600ull * 1000000000)
		return bad(p, "--time %.60s: give a time from 1ms to 10m, such as 0.5s", text);
	p->c->run.contest_s = (double)ns / 1e9;
	return 0;
}

static int parse_one(struct parser *p, int option, const char *value)
{
	switch (option) {
	case SUITE:
		return *value ? parse_suites(p, value) : bad(p, "--suite: name one, see --list");
	case JSON:
		p->c->json = true;
		return 0;
	case SAVE:
		p->c->save_path = value;
		return *value ? 0 : bad(p, "--save-baseline: name a file");
	case BASELINE:
		p->c->baseline_path = value;
		return 0;
	case ISA:
		return parse_isa(p, value);
	case QUICK:
		p->c->run.quick = true;
		return 0;
	case TIME:
		return parse_contest_time(p, value);
	case WIDE:
		p->c->wide = true;
		return 0;
	case LIST:
		p->c->list = true;
		return 0;
	default:
		p->c->help = true;
		return 0;
	}
}

int benchmark_options_parse(struct benchmark_command *c, int argc, char **argv, char *why,
			    size_t size)
{
	struct parser p = {c, why, size};
	bool isa_given = false, any = false;
	int option, err = 0;

	*c = (struct benchmark_command){0};
	optind = 0; /* glibc: start afresh, whatever was parsed before */
	opterr = 0;
	while (!err && (option = getopt_long(argc, argv, "+:", long_options, NULL)) != -1) {
		if (option == ':')
			return bad(&p, "%s wants a value; see --help", argv[optind - 1]);
		if (option == '?')
			return bad(&p, "%.60s: no such option; see --help", argv[optind - 1]);
		err = parse_one(&p, option, optarg);
		isa_given |= option == ISA;
	}
	if (err || c->help || c->list)
		return err;
	if (optind < argc)
		return bad(&p, "%.60s: it takes options only; see --help", argv[optind]);
	for (uint32_t i = 0; i < benchmark_suites_count; i++)
		any |= c->wanted[i];
	for (uint32_t i = 0; i < benchmark_suites_count && !any; i++)
		c->wanted[i] = true;
	return isa_given ? 0 : parse_isa(&p, NULL);
}
