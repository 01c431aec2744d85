/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_print.c: the machine, the targets, the failures and the comparison in words. */
#include <math.h>
#include <string.h>

#include "tui/benchmark_table.h"

enum { INDENT = 8, NAME_WIDTH = 45, TARGET_WIDTH = 18 };

/* Words within BENCHMARK_WIDTH, lines indented. */
static void print_wrapped(const char *text, FILE *out)
{
	int at = 0;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (at && at + 1 + (int)word > BENCHMARK_WIDTH) {
			fputc('\n', out);
			at = 0;
		}
		at += fprintf(out, at ? " %.*s" : "        %.*s", (int)word, text);
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

void benchmark_print_machine(const struct benchmark_machine *m, FILE *out)
{
	fprintf(out, "%s, %u CPUs; instruction set in use: %s; features:\n", m->cpu, m->cpus,
		isa_name(m->isa));
	print_wrapped(*m->features ? m->features : "none that kernels ask for", out);
	fprintf(out, "one core, f32: peak");
	for (int i = 0; i < ISA_COUNT; i++)
		if (m->peak_gflops[i] > 0)
			fprintf(out, " %s %.0f", isa_name((enum isa)i), m->peak_gflops[i]);
	fprintf(out, " GFLOP/s;\n          reads L1 %.0f, L2 %.0f, L3 %.0f, memory %.1f GB/s\n",
		m->l1_gbytes_s, m->l2_gbytes_s, m->l3_gbytes_s, m->dram_gbytes_s);
}

/* A time in the unit that suits it, whatever the limit's is. */
static const char *measured_text(char *buf, const struct benchmark_target *t)
{
	static const struct {
		const char *unit;
		double ns;
	} times[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
	const double v = fabs(t->measured);
	int digits = v >= 99.95 ? 0 : v >= 9.995 ? 1 : v >= 0.01 || !(v >= 1e-5) ? 2 : 5;

	if (isnan(v)) {
		snprintf(buf, BENCHMARK_TEXT, "-");
		return buf;
	}
	for (uint32_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (!strcmp(t->unit, times[i].unit))
			return benchmark_time_text(buf, t->measured * times[i].ns);
	snprintf(buf, BENCHMARK_TEXT, "%.*f %.10s", digits, t->measured, t->unit);
	return buf;
}

static void print_target(const struct benchmark_verdict *v, FILE *out)
{
	const struct benchmark_target *t = &v->t;
	const bool is_long = strlen(t->name) > NAME_WIDTH;
	char buf[BENCHMARK_TEXT], line[512];

	fprintf(out, "%-*s%-*s", INDENT, benchmark_status_name(v->status), is_long ? 0 : NAME_WIDTH,
		t->name);
	if (is_long)
		fprintf(out, "\n%*s", INDENT + NAME_WIDTH, "");
	fprintf(out, " %-*s%12s%s%s\n", TARGET_WIDTH, t->target, measured_text(buf, t),
		t->baseline ? "  " : "", t->baseline ? t->baseline : "");
	snprintf(line, sizeof(line), "[%s]%s%s", t->seed, t->reason ? " " : "",
		 t->reason ? t->reason : "");
	print_wrapped(line, out);
}

void benchmark_print_targets(const struct benchmark_report *r, FILE *out)
{
	uint32_t counts[BENCHMARK_NA + 1] = {0};

	if (!r->ntargets)
		return;
	fprintf(out, "\n%-*s%-*s %-*s%12s  %s\n", INDENT, "Targets", NAME_WIDTH, "", TARGET_WIDTH,
		"target", "measured", "against");
	for (uint32_t i = 0; i < r->ntargets; i++) {
		counts[r->targets[i].status]++;
		print_target(&r->targets[i], out);
	}
	fprintf(out, "\n%u targets: %u PASS, %u MISSED, %u N/A\n", r->ntargets,
		counts[BENCHMARK_PASS], counts[BENCHMARK_MISSED], counts[BENCHMARK_NA]);
	if (r->quick)
		fprintf(out,
			"--quick: shapes are smaller than targets say, no figure answers one\n");
}

void benchmark_print_failures(const struct benchmark_report *r, FILE *out)
{
	for (uint32_t i = 0; i < r->nfailures; i++)
		fprintf(out, "perftop benchmark: %s: %s\n", r->failures[i].suite,
			r->failures[i].what);
	if (r->out_of_memory)
		fputs("perftop benchmark: out of memory: results are missing\n", out);
}

static void print_difference(const struct benchmark_result *at,
			     const struct benchmark_difference *d, FILE *out)
{
	char before[BENCHMARK_TEXT], now[BENCHMARK_TEXT], line[512];
	size_t used;

	used = (size_t)snprintf(line, sizeof(line), "%.24s: %.60s: %.60s%s%s", at->suite,
				at->contest, at->name, at->isa < ISA_COUNT ? " " : "",
				at->isa < ISA_COUNT ? isa_name(at->isa) : "");
	for (uint32_t i = 0; i < at->nparams && used < sizeof(line); i++) {
		const struct benchmark_param *p = &at->params[i];

		if (p->text)
			used += (size_t)snprintf(line + used, sizeof(line) - used, " %s=%.40s",
						 p->name, p->text);
		else
			used += (size_t)snprintf(line + used, sizeof(line) - used, " %s=%g",
						 p->name, p->value);
	}
	fprintf(out, "%-8s%s -> %s, %+.1f %%, p %.1g\n",
		d->change == BENCHMARK_SLOWER ? "SLOWER" : "faster",
		benchmark_time_text(before, d->before_ns), benchmark_time_text(now, d->now_ns),
		100 * (d->now_ns / d->before_ns - 1), d->p);
	print_wrapped(line, out);
}

void benchmark_print_comparison(const struct benchmark_report *r,
				const struct benchmark_comparison *c, FILE *out)
{
	fputs("\nAgainst the baseline\n", out);
	for (uint32_t i = 0; i < c->nrows; i++)
		if (c->rows[i].change != BENCHMARK_SAME)
			print_difference(&r->results[c->rows[i].result], &c->rows[i], out);
	fprintf(out, "%u results compared: %u slower by more than %.0f %% beyond chance",
		c->compared, c->nslower, 100 * (BENCHMARK_REGRESSION - 1));
	if (c->unknown)
		fprintf(out, "; %u not in the baseline", c->unknown);
	if (c->too_few)
		fprintf(out, "; %u with too few samples to tell", c->too_few);
	fputc('\n', out);
}
