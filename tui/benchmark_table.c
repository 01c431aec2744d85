/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_table.c: contests as tables whose columns follow what was measured. */
#include "tui/benchmark_table.h"

#include <math.h>
#include <string.h>

enum column {
	NAME,
	ISA,
	COUNT,
	MEDIAN,
	MEAN,
	SPREAD,
	MIN,
	P95,
	P99,
	MAX,
	OPS,
	GFLOPS,
	PCT_PEAK,
	GBYTES,
	SCRATCH,
	GROWTH,
	VS,
	COLUMNS = VS + BENCHMARK_MAX_VS
};
enum { MAX_ROWS = BENCHMARK_MAX_CASES, CELL = 64 };

static const char *const titles[VS] = {
	"",    "isa", "n",     "median",  "mean",   "sd %", "min",     "p95",
	"p99", "max", "ops/s", "GFLOP/s", "% peak", "GB/s", "scratch", "RSS +",
};

/* What goes first when it does not fit. Ops/s is 1 / median, the mean close to it. */
static const enum column expendable[] = {MEAN, MAX,    GROWTH, COUNT,  OPS,
					 MIN,  GBYTES, P99,    SPREAD, SCRATCH};

struct table {
	char cell[MAX_ROWS + 1][COLUMNS][CELL]; /* row 0: titles */
	int width[COLUMNS];			/* 0: left out */
	uint32_t rows;
};

static const char *three_digits(char *buf, double v, const char *unit)
{
	int digits = v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2;

	snprintf(buf, BENCHMARK_TEXT, "%.*f%s%s", digits, v, *unit ? " " : "", unit);
	return buf;
}

const char *benchmark_time_text(char *buf, double ns)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	uint32_t i = 0;

	while (i < 3 && ns >= 999.5) {
		ns /= 1000;
		i++;
	}
	return three_digits(buf, ns, units[i]);
}

static const char *bytes_text(char *buf, size_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
	double v = (double)bytes;
	uint32_t i = 0;

	while (i < 3 && v >= 999.5) {
		v /= 1024;
		i++;
	}
	if (!i)
		snprintf(buf, BENCHMARK_TEXT, "%zu B", bytes);
	return i ? three_digits(buf, v, units[i]) : buf;
}

static const char *count_text(char *buf, double v)
{
	static const char *const units[] = {"", "k", "M", "G"};
	uint32_t i = 0;

	while (i < 3 && v >= 999.5) {
		v /= 1000;
		i++;
	}
	return three_digits(buf, v, units[i]);
}

static const char *param_text(char *buf, size_t size, const struct benchmark_param *p)
{
	if (p->text)
		snprintf(buf, size, "%s=%.40s", p->name, p->text);
	else
		snprintf(buf, size, "%s=%g", p->name, p->value);
	return buf;
}

static bool same_param(const struct benchmark_param *a, const struct benchmark_param *b)
{
	return !strcmp(a->name, b->name) &&
	       (a->text && b->text ? !strcmp(a->text, b->text)
				   : a->text == b->text && a->value == b->value);
}

/* Those that all rows share stand above the table, the others beside the name. */
static bool shared(const struct benchmark_result *rows, uint32_t n, const struct benchmark_param *p)
{
	uint32_t have = 0;

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < rows[i].nparams; j++)
			have += same_param(&rows[i].params[j], p);
	return have == n;
}

static void name_cell(char *cell, const struct benchmark_result *r,
		      const struct benchmark_result *rows, uint32_t n)
{
	size_t used = (size_t)snprintf(cell, CELL, "%s", r->name);
	char text[BENCHMARK_TEXT + 64];

	for (uint32_t i = 0; i < r->nparams && used < CELL; i++)
		if (!shared(rows, n, &r->params[i]))
			used += (size_t)snprintf(cell + used, CELL - used, " %s",
						 param_text(text, sizeof(text), &r->params[i]));
}

static void value_cells(char (*cell)[CELL], const struct benchmark_result *r)
{
	const struct benchmark_stats *s = &r->ns;
	const double times[] = {s->median, s->mean, s->min, s->p95, s->p99, s->max};
	const enum column at[] = {MEDIAN, MEAN, MIN, P95, P99, MAX};
	char buf[BENCHMARK_TEXT];

	if (r->isa < ISA_COUNT)
		snprintf(cell[ISA], CELL, "%s", isa_name(r->isa));
	snprintf(cell[COUNT], CELL, "%u", s->n);
	for (uint32_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		snprintf(cell[at[i]], CELL, "%s", benchmark_time_text(buf, times[i]));
	snprintf(cell[SPREAD], CELL, "%.1f", s->mean > 0 ? 100 * s->stddev / s->mean : 0);
	snprintf(cell[OPS], CELL, "%s", count_text(buf, r->ops_per_s));
	if (r->gflops > 0)
		snprintf(cell[GFLOPS], CELL, "%s", three_digits(buf, r->gflops, ""));
	if (r->pct_peak > 0)
		snprintf(cell[PCT_PEAK], CELL, "%.1f", r->pct_peak);
	if (r->gbytes_s > 0)
		snprintf(cell[GBYTES], CELL, "%s", three_digits(buf, r->gbytes_s, ""));
	if (r->scratch_bytes)
		snprintf(cell[SCRATCH], CELL, "%s", bytes_text(buf, r->scratch_bytes));
	if (r->rss_growth_bytes)
		snprintf(cell[GROWTH], CELL, "%s", bytes_text(buf, r->rss_growth_bytes));
}

/* One column for each name of a baseline, in the order that they come up. */
static void vs_cells(struct table *t, char (*cell)[CELL], const struct benchmark_result *r)
{
	for (uint32_t i = 0; i < r->nvs; i++) {
		char title[CELL], buf[BENCHMARK_TEXT];
		int c = VS;

		snprintf(title, sizeof(title), "/%.40s", r->vs[i].name);
		while (c < COLUMNS && *t->cell[0][c] && strcmp(t->cell[0][c], title) != 0)
			c++;
		if (c == COLUMNS)
			continue;
		snprintf(t->cell[0][c], CELL, "%s", title);
		snprintf(cell[c], CELL, "%sx", three_digits(buf, r->vs[i].ratio, ""));
	}
}

static int total_width(const struct table *t)
{
	int total = 0;

	for (int c = 0; c < COLUMNS; c++)
		total += t->width[c] ? t->width[c] + 2 : 0;
	return total;
}

static void set_widths(struct table *t)
{
	for (int c = 0; c < COLUMNS; c++) {
		t->width[c] = 0;
		for (uint32_t r = 1; r <= t->rows; r++)
			if ((int)strlen(t->cell[r][c]) > t->width[c])
				t->width[c] = (int)strlen(t->cell[r][c]);
		if (t->width[c] && (int)strlen(t->cell[0][c]) > t->width[c])
			t->width[c] = (int)strlen(t->cell[0][c]);
	}
}

/* Drops what is least telling until the rest fits, then takes back what fits beside it. */
static void fit(struct table *t)
{
	const int n = sizeof(expendable) / sizeof(expendable[0]);
	int dropped[sizeof(expendable) / sizeof(expendable[0])] = {0};

	for (int i = 0; i < n && total_width(t) > BENCHMARK_WIDTH; i++) {
		dropped[i] = t->width[expendable[i]];
		t->width[expendable[i]] = 0;
	}
	for (int i = n - 1; i >= 0; i--)
		if (dropped[i] && total_width(t) + dropped[i] + 2 <= BENCHMARK_WIDTH)
			t->width[expendable[i]] = dropped[i];
}

static void print_row(const struct table *t, uint32_t row, FILE *out)
{
	int owed = 0; /* blanks that are printed only before something */

	for (int c = 0; c < COLUMNS; c++) {
		const char *text = t->cell[row][c];
		int len = (int)strlen(text), pad = t->width[c] - len;

		if (!t->width[c])
			continue;
		owed += 2;
		if (len)
			fprintf(out, "%*s%s", owed + (c <= ISA ? 0 : pad), "", text);
		owed = len ? (c <= ISA ? pad : 0) : owed + t->width[c];
	}
	fputc('\n', out);
}

void benchmark_print_contest(const struct benchmark_report *r, uint32_t first, uint32_t n,
			     bool wide, FILE *out)
{
	const struct benchmark_result *rows = r->results + first;
	struct table t = {.rows = n < MAX_ROWS ? n : MAX_ROWS};
	char text[BENCHMARK_TEXT + 64];

	fprintf(out, "\n%s: %s", rows->suite, rows->contest);
	for (uint32_t i = 0; i < rows->nparams; i++)
		if (shared(rows, n, &rows->params[i]))
			fprintf(out, " %s", param_text(text, sizeof(text), &rows->params[i]));
	fputc('\n', out);
	for (int c = 0; c < VS; c++)
		snprintf(t.cell[0][c], CELL, "%s", titles[c]);
	for (uint32_t i = 0; i < t.rows; i++) {
		name_cell(t.cell[i + 1][NAME], &rows[i], rows, n);
		value_cells(t.cell[i + 1], &rows[i]);
		vs_cells(&t, t.cell[i + 1], &rows[i]);
	}
	set_widths(&t);
	if (!wide)
		fit(&t);
	for (uint32_t i = 0; i <= t.rows; i++)
		print_row(&t, i, out);
}
