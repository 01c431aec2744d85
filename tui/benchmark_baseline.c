/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_baseline.c: reading a saved report back. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "collectors/snapshot.h"
#include "tui/benchmark_json.h"

enum { MAX_SAMPLES = 1 << 16 };

struct reader {
	struct benchmark_report *r;
	char *why;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static int bad(struct reader *in, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(in->why, in->size, format, ap);
	va_end(ap);
	return -EINVAL;
}

static int read_isa(const char *text, enum isa *isa)
{
	*isa = ISA_SCALAR;
	while (*isa < ISA_COUNT && strcmp(text, isa_name(*isa)) != 0)
		*isa = (enum isa)(*isa + 1);
	return *isa == ISA_COUNT && strcmp(text, "-") != 0 ? -EINVAL : 0;
}

static int read_params(struct reader *in, json_t *params, struct benchmark_result *r)
{
	const char *key;
	json_t *v;

	if (json_object_size(params) > BENCHMARK_MAX_PARAMS)
		return bad(in, "too many params");
	json_object_foreach(params, key, v)
	{
		struct benchmark_param *p = &r->params[r->nparams++];

		if (!json_is_string(v) && !json_is_number(v))
			return bad(in, "param %.40s is neither a number nor text", key);
		p->name = benchmark_report_string(in->r, key);
		p->text = benchmark_report_string(in->r, json_string_value(v));
		p->value = json_number_value(v);
	}
	return 0;
}

static int read_samples(struct reader *in, json_t *array, struct benchmark_result *r)
{
	size_t n = json_array_size(array);
	double *samples;
	int err = 0;

	if (!json_is_array(array) || !n || n > MAX_SAMPLES)
		return bad(in, "samples_ns is not an array of 1 to %d times", MAX_SAMPLES);
	samples = calloc(n, sizeof(*samples));
	if (!samples)
		return -ENOMEM;
	for (size_t i = 0; i < n && !err; i++) {
		json_t *v = json_array_get(array, i);

		samples[i] = json_number_value(v);
		if (!json_is_number(v) || !(samples[i] >= 0) || !isfinite(samples[i]))
			err = bad(in, "a sample is not a time");
	}
	err = err ? err : benchmark_report_add_samples(r, samples, (uint32_t)n);
	free(samples);
	return err;
}

static int read_result(struct reader *in, json_t *o)
{
	const char *suite, *contest, *name, *isa;
	struct benchmark_result *r;
	json_t *params, *samples;
	double reference_ns, copy_ns;
	json_error_t why;
	int err;

	if (json_unpack_ex(o, &why, 0, "{s:s, s:s, s:s, s:s, s:F, s:F, s:o, s:o}", "suite", &suite,
			   "contest", &contest, "name", &name, "isa", &isa, "reference_ns",
			   &reference_ns, "copy_ns", &copy_ns, "params", &params, "samples_ns",
			   &samples))
		return bad(in, "%s", why.text);
	r = benchmark_report_add_result(in->r);
	if (!r)
		return -ENOMEM;
	r->suite = benchmark_report_string(in->r, suite);
	r->contest = benchmark_report_string(in->r, contest);
	r->name = benchmark_report_string(in->r, name);
	if (read_isa(isa, &r->isa))
		return bad(in, "unknown instruction set %.20s", isa);
	if (!(reference_ns >= 0 && copy_ns >= 0) || !isfinite(reference_ns + copy_ns))
		return bad(in, "reference_ns or copy_ns is not a time");
	r->reference_ns = reference_ns;
	r->copy_ns = copy_ns;
	if (!json_is_object(params))
		return bad(in, "params is not an object");
	err = read_params(in, params, r);
	return err ? err : read_samples(in, samples, r);
}

static int read_report(struct reader *in, json_t *o)
{
	const char *schema = json_string_value(json_object_get(o, "schema")), *cpu, *isa;
	json_t *results = json_object_get(o, "results"), *v;
	size_t i;

	if (!schema || strcmp(schema, BENCHMARK_SCHEMA) != 0)
		return bad(in, "its schema is %.40s, not " BENCHMARK_SCHEMA,
			   schema ? schema : "missing");
	if (json_unpack(o, "{s:{s:s, s:s}}", "machine", "cpu", &cpu, "isa", &isa))
		return bad(in, "it names no machine");
	snapshot_string(in->r->machine.cpu, sizeof(in->r->machine.cpu), cpu);
	if (read_isa(isa, &in->r->machine.isa) || in->r->machine.isa == ISA_COUNT)
		return bad(in, "unknown instruction set %.20s", isa);
	if (!json_is_array(results))
		return bad(in, "it has no results");
	json_array_foreach(results, i, v)
	{
		char text[160];
		struct reader one = {in->r, text, sizeof(text)};
		int err = read_result(&one, v);

		if (err == -EINVAL)
			return bad(in, "result %zu: %s", i, text);
		if (err)
			return err;
	}
	return in->r->out_of_memory ? -ENOMEM : 0;
}

int benchmark_json_load(struct benchmark_report *r, const char *path, char *why, size_t size)
{
	char text[256] = "";
	struct reader in = {r, text, sizeof(text)};
	json_error_t error;
	json_t *o;
	int err;

	benchmark_report_init(r);
	errno = 0;
	o = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!o) {
		err = json_error_code(&error) == json_error_cannot_open_file && errno ? -errno
										      : -EINVAL;
		if (err == -EINVAL)
			snprintf(why, size, "the baseline %.200s is no JSON: %s (line %d)", path,
				 error.text, error.line);
		else
			snprintf(why, size, "cannot read the baseline %.200s: %s", path,
				 strerror(-err));
		return err;
	}
	err = read_report(&in, o);
	json_decref(o);
	if (err)
		snprintf(why, size,
			 "the baseline %.200s cannot be used: %s; write one with --save-baseline",
			 path, err == -ENOMEM ? strerror(ENOMEM) : text);
	return err;
}
