/* SPDX-License-Identifier: Apache-2.0 */
/* options.c: reading the command line. */
#include "tui/options_priv.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tui/view.h"

#define SECOND_NS 1000000000ull

enum {
	INTERVAL_MIN_NS = 50 * 1000 * 1000, /* below, /proc's own resolution shows: 10 ms */
	HZ_DEFAULT = 99,		    /* beside the beat of timers that tick at 100 */
	HZ_MAX = 1000,
	OVERHEAD_DEFAULT_PCT = 5,
};

enum {
	OPT_WATCH = 256,
	OPT_DURATION,
	OPT_SYSCALLS,
	OPT_HEAP,
	OPT_NO_OFFCPU,
	OPT_NO_WAIT_STACKS,
	OPT_HZ,
	OPT_TARGET,
	OPT_SLOWER,
	OPT_JSON,
	OPT_JSON_HISTOGRAMS,
	OPT_TEXT,
	OPT_REPLAY,
	OPT_SPEED,
	OPT_NO_BPF,
	OPT_FORCE,
	OPT_MAX_OVERHEAD,
	OPT_LIST_PROBES,
	OPT_IN_PROCESS,
	OPT_THEME,
	OPT_ASCII,
	OPT_NO_COLOR,
	OPT_VIEW,
	OPT_LOAD,
	OPT_ENGINE_ARGS,
	OPT_OUTPUT,
	OPT_CGROUP,
	OPT_CONTAINER,
	OPT_FOLLOW_FORKS,
	OPT_DOCTOR,
};

static const struct option long_options[] = {
	{"pid", required_argument, NULL, 'p'},
	{"name", required_argument, NULL, 'n'},
	{"watch", optional_argument, NULL, OPT_WATCH},
	{"interval", required_argument, NULL, 'd'},
	{"delay", required_argument, NULL, 'd'},
	{"duration", required_argument, NULL, OPT_DURATION},
	{"probe", required_argument, NULL, 'e'},
	{"syscalls", required_argument, NULL, OPT_SYSCALLS},
	{"heap", required_argument, NULL, OPT_HEAP},
	{"no-offcpu", no_argument, NULL, OPT_NO_OFFCPU},
	{"no-wait-stacks", no_argument, NULL, OPT_NO_WAIT_STACKS},
	{"hz", required_argument, NULL, OPT_HZ},
	{"target", required_argument, NULL, OPT_TARGET},
	{"slower", required_argument, NULL, OPT_SLOWER},
	{"json", optional_argument, NULL, OPT_JSON},
	{"json-histograms", no_argument, NULL, OPT_JSON_HISTOGRAMS},
	{"text", no_argument, NULL, OPT_TEXT},
	{"record", required_argument, NULL, 'o'},
	{"replay", required_argument, NULL, OPT_REPLAY},
	{"speed", required_argument, NULL, OPT_SPEED},
	{"no-bpf", no_argument, NULL, OPT_NO_BPF},
	{"force", no_argument, NULL, OPT_FORCE},
	{"max-overhead", required_argument, NULL, OPT_MAX_OVERHEAD},
	{"list-probes", no_argument, NULL, OPT_LIST_PROBES},
	{"in-process", no_argument, NULL, OPT_IN_PROCESS},
	{"theme", required_argument, NULL, OPT_THEME},
	{"ascii", no_argument, NULL, OPT_ASCII},
	{"no-color", no_argument, NULL, OPT_NO_COLOR},
	{"view", required_argument, NULL, OPT_VIEW},
	{"load", required_argument, NULL, OPT_LOAD},
	{"engine-args", required_argument, NULL, OPT_ENGINE_ARGS},
	{"output", required_argument, NULL, OPT_OUTPUT},
	{"cgroup", required_argument, NULL, OPT_CGROUP},
	{"container", required_argument, NULL, OPT_CONTAINER},
	{"doctor", no_argument, NULL, OPT_DOCTOR},
	{"follow-forks", no_argument, NULL, OPT_FOLLOW_FORKS},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

__attribute__((format(printf, 2, 3))) int options_bad(struct parser *p, const char *text, ...)
{
	va_list ap;

	va_start(ap, text);
	vsnprintf(p->why, p->why_size, text, ap);
	va_end(ap);
	return -EINVAL;
}

static int parse_time(struct parser *p, const char *option, const char *text, uint64_t min_ns,
		      const char *least, uint64_t *ns)
{
	if (options_parse_time(text, ns))
		return options_bad(p, "%s %s: no time; write 1s, 500ms or 0.5", option, text);
	if (*ns < min_ns)
		return options_bad(p, "%s %s: too short; the least is %s", option, text, least);
	return 0;
}

static int parse_long(struct parser *p, const char *option, const char *text, long min, long max,
		      long *v)
{
	char *end;

	errno = 0;
	*v = strtol(text, &end, 10);
	if (errno || end == text || *end || text[0] == ' ' || text[0] == '+' || *v < min ||
	    *v > max)
		return options_bad(p, "%s %s: give a whole number from %ld to %ld", option, text,
				   min, max);
	return 0;
}

static int parse_double(struct parser *p, const char *option, const char *text, double max,
			double *v)
{
	char *end;

	*v = strtod(text, &end);
	if (end == text || *end || !(*v >= 0 && *v <= max))
		return options_bad(p, "%s %s: give a number from 0 to %g", option, text, max);
	return 0;
}

/* "12", or several: "12,34". */
static int parse_pids(struct parser *p, const char *text)
{
	struct options *o = p->o;
	const char *at = text;

	for (;;) {
		char *end;
		long v;

		errno = 0;
		v = strtol(at, &end, 10);
		if (at[0] < '0' || at[0] > '9' || (*end && *end != ','))
			return options_bad(
				p,
				"-p %.60s: no pid; give a number, several as 12,34, or a name "
				"with -n %.60s",
				text, text);
		if (errno || v < 1 || v > INT_MAX)
			return options_bad(p, "-p %.60s: no pid; list them with: ps -e", text);
		if (o->npids == OPTIONS_MAX_PIDS)
			return options_bad(p, "-p: more than %d; give --cgroup PATH or -n GLOB",
					   OPTIONS_MAX_PIDS);
		o->pids[o->npids++] = (pid_t)v;
		if (!*end)
			break;
		at = end + 1;
	}
	o->session.pid = o->pids[0];
	return 0;
}

static int parse_syscalls(struct parser *p, const char *text)
{
	static const char *const names[] = {
		[SYSCALL_AUTO] = "auto",
		[SYSCALL_FULL] = "full",
		[SYSCALL_COUNT] = "count",
		[SYSCALL_OFF] = "off",
	};

	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(text, names[i])) {
			p->o->session.syscalls = (enum syscall_mode)i;
			return 0;
		}
	return options_bad(p, "--syscalls %s: no such mode; use auto, full, count or off", text);
}

static int parse_heap(struct parser *p, const char *text)
{
	for (uint32_t mode = HEAP_OFF; mode <= HEAP_TRACE; mode++)
		if (!strcmp(text, heap_mode_name(mode))) {
			p->o->session.heap = (enum heap_mode)mode;
			return 0;
		}
	return options_bad(p, "--heap %.60s: no such mode; use proc, sample, trace or off", text);
}

int options_add_probe(struct parser *p, const char *text)
{
	struct session_config *s = &p->o->session;

	if (s->nprobes == SESSION_MAX_PROBES)
		return options_bad(p, "-e %s: more than %d probes; use a pattern: prog:parse*",
				   text, SESSION_MAX_PROBES);
	s->probes[s->nprobes++] = text;
	return 0;
}

static int set_measure(struct parser *p, int c, const char *arg)
{
	struct session_config *s = &p->o->session;
	int err = 0;
	long v = 0;

	switch (c) {
	case 'd':
		return parse_time(p, "-d", arg, INTERVAL_MIN_NS, "50ms", &s->interval_ns);
	case OPT_DURATION:
		return parse_time(p, "--duration", arg, 1000000, "1ms", &p->o->duration_ns);
	case OPT_TARGET:
		return parse_time(p, "--target", arg, 1, "1ns", &s->latency_target_ns);
	case OPT_SLOWER:
		s->no_tails = !strcmp(arg, "off");
		return s->no_tails ? 0 : parse_time(p, "--slower", arg, 1, "1ns", &s->slower_ns);
	case 'e':
		return options_add_probe(p, arg);
	case OPT_HEAP:
		return parse_heap(p, arg);
	case OPT_SYSCALLS:
		return parse_syscalls(p, arg);
	case OPT_HZ:
		err = parse_long(p, "--hz", arg, 0, HZ_MAX, &v);
		s->sample_hz = (uint32_t)v;
		return err;
	case OPT_MAX_OVERHEAD:
		return parse_double(p, "--max-overhead", arg, 1000000, &s->max_overhead_pct);
	case OPT_NO_OFFCPU:
		s->offcpu = false;
		return 0;
	case OPT_NO_WAIT_STACKS:
		s->no_wait_stacks = true;
		return 0;
	case OPT_NO_BPF:
		s->no_bpf = true;
		return 0;
	case OPT_FORCE:
		s->force = s->record_overwrite = true;
		return 0;
	case OPT_IN_PROCESS:
		s->in_process = true;
		return 0;
	case OPT_LIST_PROBES:
		p->o->command = OPTIONS_LIST_PROBES;
		return 0;
	default:
		return -ENOENT;
	}
}

static int two_of(struct parser *p, const char *option, const char *instead)
{
	return options_bad(p, "%s: given twice; for both as one: %s", option, instead);
}

static int set_target(struct parser *p, int c, const char *arg)
{
	struct options *o = p->o;
	double v;

	switch (c) {
	case 'p':
		return parse_pids(p, arg);
	case 'n':
		if (o->name)
			return two_of(p, "-n", "-n 'GLOB*'");
		o->name = arg;
		return 0;
	case OPT_WATCH:
		o->watch = true;
		return arg ? parse_time(p, "--watch", arg, INTERVAL_MIN_NS, "50ms",
					&o->session.interval_ns)
			   : 0;
	case OPT_LOAD:
		o->load = arg;
		return parse_double(p, "--load", arg, 1e9, &v);
	case OPT_ENGINE_ARGS:
		o->engine_args = arg;
		return 0;
	case OPT_OUTPUT:
		o->output_path = arg;
		return 0;
	case OPT_CGROUP:
		if (o->cgroup)
			return two_of(p, "--cgroup", "--cgroup PARENT");
		o->cgroup = arg;
		return 0;
	case OPT_CONTAINER:
		if (o->container)
			return two_of(p, "--container", "--cgroup PATH");
		o->container = arg;
		return 0;
	case OPT_DOCTOR:
		o->command = OPTIONS_DOCTOR;
		return 0;
	case OPT_FOLLOW_FORKS:
		o->session.follow_forks = true;
		return 0;
	default:
		return -ENOENT;
	}
}

static int bad_view(struct parser *p, const char *name)
{
	char known[256] = "";

	for (int i = 0; i < NVIEWS; i++)
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
			 i ? ", " : "", views[i].name);
	return options_bad(p, "--view %.60s: there is no such view; use %s", name, known);
}

static int set_output(struct parser *p, int c, const char *arg)
{
	struct options *o = p->o;

	switch (c) {
	case OPT_JSON:
		o->json = true;
		o->json_path = arg && strcmp(arg, "-") != 0 ? arg : NULL;
		return 0;
	case OPT_JSON_HISTOGRAMS:
		o->json = o->json_histograms = true;
		return 0;
	case OPT_TEXT:
		o->text = true;
		return 0;
	case 'o':
		o->session.record_path = arg;
		return 0;
	case OPT_REPLAY:
		o->session.replay_path = arg;
		return 0;
	case OPT_SPEED:
		p->speed = true;
		return parse_double(p, "--speed", arg, 1e6, &o->session.replay_speed);
	case OPT_THEME:
		o->app.theme = arg;
		return 0;
	case OPT_VIEW:
		o->app.view = arg;
		return view_find(arg) < 0 ? bad_view(p, arg) : 0;
	case OPT_ASCII:
		o->app.ascii = true;
		return 0;
	case OPT_NO_COLOR:
		o->app.color = COLOR_MODE_NONE;
		return 0;
	case 'h':
		o->command = OPTIONS_HELP;
		return 0;
	case 'V':
		o->command = OPTIONS_SHOW_VERSION;
		return 0;
	default:
		return -ENOENT;
	}
}

/* getopt has no words of its own here: opterr is 0. */
static int bad_option(struct parser *p, int c, char **argv, int before)
{
	const char *text = argv[before];

	if (c == ':' && text[1] != '-')
		return options_bad(p, "-%c needs a value; see perftop --help", optopt);
	if (c == ':')
		return options_bad(p, "%s needs a value; see perftop --help", text);
	if (text[0] == '-' && text[1] == '-')
		return options_bad(
			p, "%s: unknown, ambiguous, or takes no value; see perftop --help", text);
	return options_bad(p, "unknown option -%c; see perftop --help", optopt);
}

static void set_defaults(struct options *o)
{
	*o = (struct options){
		.session = {.interval_ns = SECOND_NS,
			    .sample_hz = HZ_DEFAULT,
			    .offcpu = true,
			    .heap = HEAP_PROC,
			    .max_overhead_pct = OVERHEAD_DEFAULT_PCT,
			    .replay_speed = 1},
	};
}

/* A value by itself, before it is read. option: as it was written. */
static int check_value(struct parser *p, const char *option, int c, const char *value)
{
	int length = (int)strcspn(option, "=");

	/* As "$PID" is where the variable was never set. */
	if (value && !*value && c != OPT_ENGINE_ARGS)
		return options_bad(p, "%.*s: its value is empty; see perftop --help", length,
				   option);
	if (c == 'o' && value && value[0] == '-')
		return options_bad(p,
				   "-o %.60s: is the name of the file missing? if that is its "
				   "name: -o ./%.60s",
				   value, value);
	return 0;
}

/* A word that is no option, and stands where a command or nothing may. */
static int bad_word(struct parser *p, const char *before, const char *word)
{
	if (!strcmp(before, "--json") || !strcmp(before, "--watch"))
		return options_bad(p, "%.60s: what is that? as the value of %s: %s=%.60s", word,
				   before, before, word);
	if (!word[strspn(word, "0123456789,")])
		return options_bad(p, "%.60s: to watch that process: perftop -p %.60s", word, word);
	return options_bad(p,
			   "%.60s: what is that? to launch it: perftop -- %.60s; to watch it: -n "
			   "%.60s",
			   word, word, word);
}

/* What follows the options: nothing, or -- COMMAND. */
static int parse_rest(struct parser *p, int argc, char **argv)
{
	bool dashes = optind > 1 && !strcmp(argv[optind - 1], "--");

	if (optind == argc)
		return dashes ? options_bad(p, "-- without a command; give one: perftop -- make")
			      : 0;
	if (!dashes)
		return bad_word(p, argv[optind - 1], argv[optind]);
	p->o->launch = argv + optind;
	return 0;
}

int options_parse(struct options *o, int argc, char **argv, char *why, size_t why_size)
{
	struct parser p = {.o = o, .why = why, .why_size = why_size};
	int c, err, before = 1;

	set_defaults(o);
	if (argc > 1 && !strcmp(argv[1], "engine"))
		o->command = OPTIONS_ENGINE;
	else if (argc > 1 && !strcmp(argv[1], "benchmark"))
		o->command = OPTIONS_BENCHMARK;
	if (o->command == OPTIONS_ENGINE || o->command == OPTIONS_BENCHMARK)
		return 0;
	optind = 0; /* begin anew, also when this is not the first command line of the process */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:p:n:d:e:o:hV", long_options, NULL)) != -1) {
		if (c == '?' || c == ':')
			return bad_option(&p, c, argv, before);
		err = check_value(&p, argv[before], c, optarg);
		if (!err)
			err = set_target(&p, c, optarg);
		if (err == -ENOENT)
			err = set_measure(&p, c, optarg);
		if (err == -ENOENT)
			err = set_output(&p, c, optarg);
		if (err)
			return err;
		if (o->command == OPTIONS_HELP || o->command == OPTIONS_SHOW_VERSION)
			return 0;
		before = optind;
	}
	err = parse_rest(&p, argc, argv);
	o->app.interval_ns = o->session.interval_ns;
	return err ? err : options_check(&p);
}
