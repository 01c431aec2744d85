/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_json.c: writing a report as JSON. */
#include "tui/benchmark_json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

/* 0.001 ns and seven digits of the rest are beyond what a clock tells. */
static json_t *number(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *text(const char *s)
{
	return s ? json_string(s) : json_null();
}

static const char *isa_text(enum isa isa)
{
	return isa < ISA_COUNT ? isa_name(isa) : "-";
}

static json_t *params_of(const struct benchmark_result *r)
{
	json_t *params = json_object();

	for (uint32_t i = 0; i < r->nparams; i++) {
		const struct benchmark_param *p = &r->params[i];
		bool whole = p->value == floor(p->value) && fabs(p->value) < 1e15;

		json_object_set_new(params, p->name,
				    p->text ? json_string(p->text)
				    : whole ? json_integer((json_int_t)p->value)
					    : number(p->value));
	}
	return params;
}

static json_t *vs_of(const struct benchmark_result *r)
{
	json_t *vs = json_object();

	for (uint32_t i = 0; i < r->nvs; i++)
		json_object_set_new(vs, r->vs[i].name, number(r->vs[i].ratio));
	return vs;
}

static json_t *samples_of(const struct benchmark_result *r)
{
	json_t *samples = json_array();

	for (uint32_t i = 0; i < r->ns.n; i++)
		json_array_append_new(samples, number(r->samples_ns[i]));
	return samples;
}

static json_t *result_of(const struct benchmark_result *r, bool samples)
{
	json_t *o = json_object();

	json_object_set_new(o, "suite", text(r->suite));
	json_object_set_new(o, "contest", text(r->contest));
	json_object_set_new(o, "name", text(r->name));
	json_object_set_new(o, "isa", text(isa_text(r->isa)));
	json_object_set_new(o, "params", params_of(r));
	json_object_set_new(o, "n", json_integer(r->ns.n));
	json_object_set_new(o, "mean_ns", number(r->ns.mean));
	json_object_set_new(o, "median_ns", number(r->ns.median));
	json_object_set_new(o, "stddev_ns", number(r->ns.stddev));
	json_object_set_new(o, "p95_ns", number(r->ns.p95));
	json_object_set_new(o, "p99_ns", number(r->ns.p99));
	json_object_set_new(o, "min_ns", number(r->ns.min));
	json_object_set_new(o, "max_ns", number(r->ns.max));
	json_object_set_new(o, "ops_per_s", number(r->ops_per_s));
	json_object_set_new(o, "gflops", number(r->gflops));
	json_object_set_new(o, "gbytes_s", number(r->gbytes_s));
	json_object_set_new(o, "pct_peak", number(r->pct_peak));
	json_object_set_new(o, "scratch_bytes", json_integer((json_int_t)r->scratch_bytes));
	json_object_set_new(o, "peak_rss_bytes", json_integer((json_int_t)r->peak_rss_bytes));
	json_object_set_new(o, "rss_growth_bytes", json_integer((json_int_t)r->rss_growth_bytes));
	json_object_set_new(o, "reference_ns", number(r->reference_ns));
	json_object_set_new(o, "copy_ns", number(r->copy_ns));
	json_object_set_new(o, "vs", vs_of(r));
	if (samples)
		json_object_set_new(o, "samples_ns", samples_of(r));
	return o;
}

static json_t *target_of(const struct benchmark_verdict *v)
{
	json_t *o = json_object();

	json_object_set_new(o, "suite", text(v->suite));
	json_object_set_new(o, "name", text(v->t.name));
	json_object_set_new(o, "seed", text(v->t.seed));
	json_object_set_new(o, "target", text(v->t.target));
	json_object_set_new(o, "measured", number(v->t.measured));
	json_object_set_new(o, "unit", text(v->t.unit));
	json_object_set_new(o, "baseline", text(v->t.baseline));
	json_object_set_new(o, "status", text(benchmark_status_name(v->status)));
	if (v->t.reason)
		json_object_set_new(o, "reason", text(v->t.reason));
	return o;
}

static json_t *machine_of(const struct benchmark_machine *m)
{
	json_t *o = json_object(), *peaks = json_object();

	json_object_set_new(o, "cpu", text(m->cpu));
	json_object_set_new(o, "cpus", json_integer(m->cpus));
	json_object_set_new(o, "features", text(m->features));
	json_object_set_new(o, "isa", text(isa_name(m->isa)));
	json_object_set_new(o, "peak_gflops", number(m->peak_gflops[m->isa]));
	json_object_set_new(o, "l1_gbytes_s", number(m->l1_gbytes_s));
	json_object_set_new(o, "l2_gbytes_s", number(m->l2_gbytes_s));
	json_object_set_new(o, "l3_gbytes_s", number(m->l3_gbytes_s));
	json_object_set_new(o, "dram_gbytes_s", number(m->dram_gbytes_s));
	for (int i = 0; i < ISA_COUNT; i++)
		if (m->peak_gflops[i] > 0)
			json_object_set_new(peaks, isa_name((enum isa)i),
					    number(m->peak_gflops[i]));
	json_object_set_new(o, "peaks", peaks);
	return o;
}

static json_t *comparison_of(const struct benchmark_report *r, const struct benchmark_comparison *c)
{
	json_t *o = json_object(), *rows = json_array();

	json_object_set_new(o, "compared", json_integer(c->compared));
	json_object_set_new(o, "unknown", json_integer(c->unknown));
	json_object_set_new(o, "too_few_samples", json_integer(c->too_few));
	json_object_set_new(o, "regressions", json_integer(c->nslower));
	for (uint32_t i = 0; i < c->nrows; i++) {
		const struct benchmark_difference *d = &c->rows[i];
		const struct benchmark_result *at = &r->results[d->result];
		json_t *row = json_object();

		if (d->change == BENCHMARK_SAME) {
			json_decref(row);
			continue;
		}
		json_object_set_new(row, "suite", text(at->suite));
		json_object_set_new(row, "contest", text(at->contest));
		json_object_set_new(row, "name", text(at->name));
		json_object_set_new(row, "isa", text(isa_text(at->isa)));
		json_object_set_new(row, "params", params_of(at));
		json_object_set_new(row, "before_ns", number(d->before_ns));
		json_object_set_new(row, "now_ns", number(d->now_ns));
		json_object_set_new(row, "machine", number(d->machine));
		json_object_set_new(row, "p", number(d->p));
		json_object_set_new(row, "change",
				    text(d->change == BENCHMARK_SLOWER ? "slower" : "faster"));
		json_array_append_new(rows, row);
	}
	json_object_set_new(o, "rows", rows);
	return o;
}

static json_t *report_of(const struct benchmark_report *r, const struct benchmark_comparison *c,
			 bool samples)
{
	json_t *o = json_object(), *results = json_array(), *targets = json_array();
	json_t *failures = json_array();

	json_object_set_new(o, "schema", json_string(BENCHMARK_SCHEMA));
	json_object_set_new(o, "quick", json_boolean(r->quick));
	json_object_set_new(o, "machine", machine_of(&r->machine));
	for (uint32_t i = 0; i < r->nresults; i++)
		json_array_append_new(results, result_of(&r->results[i], samples));
	for (uint32_t i = 0; i < r->ntargets; i++)
		json_array_append_new(targets, target_of(&r->targets[i]));
	for (uint32_t i = 0; i < r->nfailures; i++)
		json_array_append_new(failures,
				      json_pack("{s:s, s:s}", "suite", r->failures[i].suite, "what",
						r->failures[i].what));
	json_object_set_new(o, "results", results);
	json_object_set_new(o, "targets", targets);
	json_object_set_new(o, "failures", failures);
	if (c)
		json_object_set_new(o, "comparison", comparison_of(r, c));
	return o;
}

static int dump(json_t *o, FILE *out)
{
	/* A JSON object that is missing members for want of memory fails here as a whole. */
	if (json_dumpf(o, out, JSON_COMPACT | JSON_REAL_PRECISION(10)) || fputc('\n', out) == EOF ||
	    fflush(out))
		return errno ? -errno : -EIO;
	return 0;
}

int benchmark_json_write(const struct benchmark_report *r, const struct benchmark_comparison *c,
			 FILE *out)
{
	json_t *o = report_of(r, c, false);
	int err = dump(o, out);

	json_decref(o);
	return err;
}

/*
 * Where path leads, and a new file beside it, open: its name is in temp. Renaming over a device, or
 * over the link to one that /dev/stdout is, would take it from everyone: regular files only.
 */
static int open_beside(const char *path, char place[PATH_MAX], char temp[PATH_MAX + 8])
{
	struct stat st;
	int fd;

	if (realpath(path, place)) {
		if (stat(place, &st))
			return -errno;
		if (!S_ISREG(st.st_mode))
			return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	} else if (errno != ENOENT || !lstat(path, &st)) {
		return -errno;
	} else if (snprintf(place, PATH_MAX, "%s", path) >= PATH_MAX) {
		return -ENAMETOOLONG;
	}
	snprintf(temp, PATH_MAX + 8, "%s.XXXXXX", place);
	fd = mkstemp(temp);
	return fd < 0 ? -errno : fd;
}

static int cannot_save(const char *path, int err, char *why, size_t size)
{
	snprintf(why, size, "cannot save the baseline %.200s: %s", path,
		 err == -EINVAL ? "not a regular file" : strerror(-err));
	return err;
}

int benchmark_json_can_save(const char *path, char *why, size_t size)
{
	char place[PATH_MAX], temp[PATH_MAX + 8];
	int fd = open_beside(path, place, temp);

	if (fd < 0)
		return cannot_save(path, fd, why, size);
	unlink(temp);
	close(fd);
	return 0;
}

int benchmark_json_save(const struct benchmark_report *r, const char *path, char *why, size_t size)
{
	char place[PATH_MAX], temp[PATH_MAX + 8];
	int fd = open_beside(path, place, temp), err;
	json_t *o;
	FILE *f;

	if (fd < 0)
		return cannot_save(path, fd, why, size);
	f = fdopen(fd, "w");
	err = f ? 0 : -errno;
	if (!f)
		close(fd);
	if (!err) {
		o = report_of(r, NULL, true);
		err = dump(o, f);
		json_decref(o);
		if (!err && (fchmod(fd, 0644) || fsync(fd)))
			err = -errno;
	}
	if (f && fclose(f) && !err)
		err = -errno;
	if (!err && rename(temp, place))
		err = -errno;
	if (err)
		unlink(temp);
	return err ? cannot_save(path, err, why, size) : 0;
}
