/* SPDX-License-Identifier: Apache-2.0 */
/* format.c: numbers as people read them. */
#include "tui/format.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/*
 * Three significant digits: 1.23, 12.3, 123. The bounds are where printf's rounding would give a
 * fourth digit.
 */
static void digits3(char *buf, double v, const char *unit)
{
	double a = fabs(v);
	int prec = a >= 99.95 ? 0 : a >= 9.995 ? 1 : 2;

	snprintf(buf, FORMAT_SIZE, "%.*f%s", prec, v, unit);
}

/* Divide v by step until it has three digits before the point; which of the units it is in. */
static int scale(double *v, double step, int last)
{
	int u = 0;

	while (u < last && fabs(*v) >= 999.5) {
		*v /= step;
		u++;
	}
	return u;
}

const char *format_ns(char *buf, uint64_t ns)
{
	static const char *const units[] = {" ns", " µs", " ms", " s"};
	double v = (double)ns;
	int u = scale(&v, 1000, 3);

	if (!ns)
		return strcpy(buf, "-");
	if (!u || (u == 3 && v >= 999.5))
		snprintf(buf, FORMAT_SIZE, "%.0f%s", v, units[u]);
	else
		digits3(buf, v, units[u]);
	return buf;
}

const char *format_bytes(char *buf, uint64_t bytes)
{
	static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
	double v = (double)bytes;
	int u = scale(&v, 1024, 6);

	if (!u)
		snprintf(buf, FORMAT_SIZE, "%.0f%s", v, units[u]);
	else
		digits3(buf, v, units[u]);
	return buf;
}

const char *format_count(char *buf, double n)
{
	static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
	double v = isfinite(n) ? n : 0;
	int u = scale(&v, 1000, 6);

	if (fabs(v) >= 999.5)
		snprintf(buf, FORMAT_SIZE, "%.0e%s", v, units[u]);
	else if (!u && v == floor(v))
		snprintf(buf, FORMAT_SIZE, "%.0f", v);
	else
		digits3(buf, v, units[u]);
	return buf;
}

const char *format_rate(char *buf, double per_s)
{
	size_t n = strlen(format_count(buf, per_s));

	snprintf(buf + n, FORMAT_SIZE - n, "/s");
	return buf;
}

const char *format_pct(char *buf, double pct)
{
	double v = isfinite(pct) && fabs(pct) >= 0.05 ? pct : 0; /* no "-0.0" */

	snprintf(buf, FORMAT_SIZE, "%.*f %%", fabs(v) >= 99.95 ? 0 : 1, v);
	return buf;
}

const char *format_age(char *buf, uint64_t ns)
{
	unsigned long long s = ns / 1000000000u;

	if (s < 60)
		snprintf(buf, FORMAT_SIZE, "%llu s", s);
	else if (s < 3600)
		snprintf(buf, FORMAT_SIZE, "%llu m %02llu s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, FORMAT_SIZE, "%llu h %02llu m", s / 3600, s / 60 % 60);
	else
		snprintf(buf, FORMAT_SIZE, "%llu d %02llu h", s / 86400, s / 3600 % 24);
	return buf;
}

const char *format_value(char *buf, double v, const char *unit)
{
	if (!strcmp(unit, "ns") && v >= 0)
		return format_ns(buf, (uint64_t)v);
	if ((!strcmp(unit, "bytes") || !strcmp(unit, "B")) && v >= 0)
		return format_bytes(buf, (uint64_t)v);
	format_count(buf, v);
	if (unit[0] && strcmp(unit, "1")) {
		size_t n = strlen(buf);

		snprintf(buf + n, FORMAT_SIZE - n, " %s", unit);
	}
	return buf;
}
