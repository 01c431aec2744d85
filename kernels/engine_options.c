/* SPDX-License-Identifier: Apache-2.0 */
/* engine_options.c: the command line of `perftop engine`. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/engine_state.h"

void engine_options_help(void)
{
	puts("Usage: perftop engine [OPTIONS]\n"
	     "Serve synthetic queries through flash attention and micro-LoRA, and learn from "
	     "them.\n"
	     "\n"
	     "  --workers N        threads that serve (default: one a CPU)\n"
	     "  --load QPS         queries a second, arriving at random; 0: no limit (default:\n"
	     "                     what takes a quarter of the workers' CPUs, at most 500)\n"
	     "  --duration TIME    stop after this long: 10s, 500ms, 2m (default: when told to)\n"
	     "  --seq N            tokens of a query (default 384)\n"
	     "  --dim D            of an attention head, 1-1024 (default 64)\n"
	     "  --heads H          attention heads, 1-8 (default 8)\n"
	     "  --kv-heads H       that they share as keys and values (default: as many)\n"
	     "  --causal           a token attends to those before it only\n"
	     "  --isa NAME         scalar, neon, avx2, avx512 or auto (default; PERFTOP_ISA sets "
	     "it)\n"
	     "  --buffer N         trajectories that the buffer holds (default 1024)\n"
	     "  --drain-delay TIME how long the learner waits between drains (default 5ms)\n"
	     "  --learning WHAT    none: attention alone; micro: each request teaches micro-LoRA;\n"
	     "                     full: patterns, base LoRA, EWC++ and dreams too (default)\n"
	     "  --loop-b TIME      from one background cycle to the next (default 10s)\n"
	     "  --loop-c TIME      from one deep cycle to the next (default 60s)\n"
	     "  --state DIR        keep what was learned there, and go on from it\n"
	     "  --state-fresh      begin anew when it cannot be read; the file is set aside\n"
	     "  --die-with-parent  stop when the thread that started the engine ends\n"
	     "  --verbose          say when it starts and what it did\n"
	     "  --help             this text");
}

static int bad(const char *option, const char *value, const char *want)
{
	fprintf(stderr, "perftop engine: --%s %s: %s\n", option, value, want);
	return -EINVAL;
}

static int parse_number(const char *option, const char *text, uint64_t min, uint64_t max,
			uint64_t *out)
{
	char *end, want[96];
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	snprintf(want, sizeof(want), "give a whole number from %llu to %llu",
		 (unsigned long long)min, (unsigned long long)max);
	if (errno || end == text || *end || *text == '-' || v < min || v > max)
		return bad(option, text, want);
	*out = v;
	return 0;
}

static int parse_time(const char *option, const char *text, uint64_t *ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9},
		     {"", 1e9}, {"m", 6e10}, {"h", 36e11}};
	char *end;
	double v = strtod(text, &end);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (end == text || strcmp(end, units[i].unit) != 0)
			continue;
		if (!(v >= 0) || v * units[i].ns > 1e18)
			break;
		*ns = (uint64_t)(v * units[i].ns);
		return 0;
	}
	return bad(option, text, "give a time such as 500ms, 10s or 2m");
}

static int parse_load(const char *text, double *qps)
{
	char *end;

	*qps = strtod(text, &end);
	if (end == text || *end || !(*qps >= 0) || *qps > 1e7 || (*qps > 0 && *qps < 1e-3))
		return bad("load", text,
			   "give queries a second, 0.001 to 10000000, or 0 for no limit");
	return 0;
}

enum {
	WORKERS = 1,
	LOAD,
	DURATION,
	SEQ,
	DIM,
	HEADS,
	KV_HEADS,
	CAUSAL,
	ISA,
	BUFFER,
	DRAIN_DELAY,
	LEARNING,
	LOOP_B,
	LOOP_C,
	STATE,
	STATE_FRESH,
	DIE_WITH_PARENT,
	VERBOSE,
	HELP
};

static const struct option long_options[] = {
	{"workers", required_argument, NULL, WORKERS},
	{"load", required_argument, NULL, LOAD},
	{"duration", required_argument, NULL, DURATION},
	{"seq", required_argument, NULL, SEQ},
	{"dim", required_argument, NULL, DIM},
	{"heads", required_argument, NULL, HEADS},
	{"kv-heads", required_argument, NULL, KV_HEADS},
	{"causal", no_argument, NULL, CAUSAL},
	{"isa", required_argument, NULL, ISA},
	{"buffer", required_argument, NULL, BUFFER},
	{"drain-delay", required_argument, NULL, DRAIN_DELAY},
	{"learning", required_argument, NULL, LEARNING},
	{"loop-b", required_argument, NULL, LOOP_B},
	{"loop-c", required_argument, NULL, LOOP_C},
	{"state", required_argument, NULL, STATE},
	{"state-fresh", no_argument, NULL, STATE_FRESH},
	{"die-with-parent", no_argument, NULL, DIE_WITH_PARENT},
	{"verbose", no_argument, NULL, VERBOSE},
	{"help", no_argument, NULL, HELP},
	{NULL, 0, NULL, 0},
};

static int parse_isa(const char *text, enum isa *isa)
{
	int err = isa_choose(text, isa);

	if (!text)
		text = "(of the environment's PERFTOP_ISA)";
	if (err == -ENOTSUP)
		return bad("isa", text, "this CPU does not have it");
	return err ? bad("isa", text, "give scalar, neon, avx2, avx512 or auto") : 0;
}

static int parse_learning(const char *text, enum engine_learning *learning)
{
	static const char *const names[] = {"none", "micro", "full"};

	for (int i = 0; i < 3; i++) {
		if (strcmp(text, names[i]) != 0)
			continue;
		*learning = (enum engine_learning)i;
		return 0;
	}
	return bad("learning", text, "give none, micro or full");
}

static int parse_folder(const char *text, const char **folder)
{
	*folder = text;
	return *text ? 0 : bad("state", text, "give a folder");
}

static int parse_one(struct engine_options *o, int option, const char *value)
{
	uint64_t n = 0;
	int err = 0;

	switch (option) {
	case WORKERS:
		err = parse_number("workers", value, 1, ENGINE_MAX_WORKERS, &n);
		o->workers = (uint32_t)n;
		return err;
	case LOAD:
		return parse_load(value, &o->load_qps);
	case DURATION:
		err = parse_time("duration", value, &o->duration_ns);
		return err || o->duration_ns
			       ? err
			       : bad("duration", value, "give a time above 0, or leave it out");
	case SEQ:
		err = parse_number("seq", value, 1, 65536, &n);
		o->seq = (uint32_t)n;
		return err;
	case DIM:
		err = parse_number("dim", value, 1, ATTENTION_MAX_DIM, &n);
		o->dim = (uint32_t)n;
		return err;
	case HEADS:
		err = parse_number("heads", value, 1, TRAJECTORY_HEADS, &n);
		o->heads = (uint32_t)n;
		return err;
	case KV_HEADS:
		err = parse_number("kv-heads", value, 1, TRAJECTORY_HEADS, &n);
		o->kv_heads = (uint32_t)n;
		return err;
	case ISA:
		return parse_isa(value, &o->isa);
	case BUFFER:
		return parse_number("buffer", value, 2, 1 << 20, &o->buffer);
	case DRAIN_DELAY:
		return parse_time("drain-delay", value, &o->drain_delay_ns);
	case LEARNING:
		return parse_learning(value, &o->learning);
	case LOOP_B:
		return parse_time("loop-b", value, &o->loop_b_ns);
	case LOOP_C:
		return parse_time("loop-c", value, &o->loop_c_ns);
	case STATE:
		return parse_folder(value, &o->state);
	case STATE_FRESH:
		o->state_fresh = true;
		return 0;
	case CAUSAL:
		o->causal = true;
		return 0;
	case DIE_WITH_PARENT:
		o->die_with_parent = true;
		return 0;
	case VERBOSE:
		o->verbose = true;
		return 0;
	case HELP:
		o->help = true;
		return 0;
	default:
		return -ENOENT;
	}
}

int engine_options_parse(struct engine_options *o, int argc, char **argv)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	bool isa_given = false;
	int c, err = 0;

	*o = (struct engine_options){
		.workers = cpus < 1		       ? 1
			   : cpus > ENGINE_MAX_WORKERS ? ENGINE_MAX_WORKERS
						       : (uint32_t)cpus,
		.load_qps = -1,
		.seq = 384,
		.dim = 64,
		.heads = 8,
		.buffer = 1024,
		.drain_delay_ns = 5 * 1000 * 1000,
		.learning = ENGINE_LEARN_FULL,
		.loop_b_ns = 10ull * 1000 * 1000 * 1000,
		.loop_c_ns = 60ull * 1000 * 1000 * 1000,
	};
	optind = 0; /* glibc: start afresh, whatever was parsed before */
	opterr = 0;
	while (!err && (c = getopt_long(argc, argv, "+:", long_options, NULL)) != -1) {
		err = parse_one(o, c, optarg);
		if (err == -ENOENT) {
			fprintf(stderr, "perftop engine: %s%s; see perftop engine --help\n",
				argv[optind - 1], c == ':' ? " wants a value" : ": no such option");
			err = -EINVAL;
		}
		isa_given |= c == ISA;
	}
	if (err || o->help)
		return err;
	if (optind < argc) {
		fprintf(stderr, "perftop engine: %s: it takes options only, see --help\n",
			argv[optind]);
		return -EINVAL;
	}
	if (o->state_fresh && !o->state) {
		fputs("perftop engine: --state-fresh goes with --state DIR\n", stderr);
		return -EINVAL;
	}
	if (!o->kv_heads)
		o->kv_heads = o->heads;
	if (o->heads % o->kv_heads) {
		fputs("perftop engine: --heads must be a multiple of --kv-heads\n", stderr);
		return -EINVAL;
	}
	return isa_given ? 0 : parse_isa(NULL, &o->isa);
}
