/* SPDX-License-Identifier: Apache-2.0 */
/* heap_trend.c: does a number of bytes rise, and how fast. */
#include "collectors/heap_priv.h"

#define SECOND_NS 1000000000ull
#define POINT_NS  950000000ull /* ticks of a second come a little early at times */

enum { MIN_POINTS = 12, MIN_RISE_BYTES = 256 << 10 };

void heap_trend_add(struct heap_trend *t, uint64_t now_ns, uint64_t bytes)
{
	uint32_t last = (t->head + HEAP_TREND_POINTS - 1) % HEAP_TREND_POINTS;

	if (t->n && now_ns - t->at_ns[last] < POINT_NS)
		return;
	t->at_ns[t->head] = now_ns;
	t->bytes[t->head] = bytes;
	t->head = (t->head + 1) % HEAP_TREND_POINTS;
	t->n += t->n < HEAP_TREND_POINTS;
	if (!heap_trend_rises(t))
		t->rising_since_ns = 0;
	else if (!t->rising_since_ns)
		t->rising_since_ns =
			t->at_ns[(t->head + HEAP_TREND_POINTS - t->n) % HEAP_TREND_POINTS];
}

static uint32_t place(const struct heap_trend *t, uint32_t i)
{
	return (t->head + HEAP_TREND_POINTS - t->n + i) % HEAP_TREND_POINTS;
}

uint64_t heap_trend_span_ns(const struct heap_trend *t)
{
	return t->n ? t->at_ns[place(t, t->n - 1)] - t->at_ns[place(t, 0)] : 0;
}

double heap_trend_slope(const struct heap_trend *t)
{
	double sx = 0, sy = 0, sxx = 0, sxy = 0, n = t->n, d;
	uint64_t from;

	if (heap_trend_span_ns(t) < 5 * SECOND_NS)
		return 0;
	from = t->at_ns[place(t, 0)];
	for (uint32_t i = 0; i < t->n; i++) {
		double x = (double)(t->at_ns[place(t, i)] - from) / 1e9;
		double y = (double)t->bytes[place(t, i)];

		sx += x;
		sy += y;
		sxx += x * x;
		sxy += x * y;
	}
	d = n * sxx - sx * sx;
	return d > 0 ? (n * sxy - sx * sy) / d : 0;
}

static void bounds(const struct heap_trend *t, uint32_t from, uint32_t to, uint64_t *min,
		   uint64_t *max)
{
	*min = UINT64_MAX;
	*max = 0;
	for (uint32_t i = from; i < to; i++) {
		uint64_t v = t->bytes[place(t, i)];

		*min = v < *min ? v : *min;
		*max = v > *max ? v : *max;
	}
}

/* Of a sawtooth, as a collector or a cache makes, the thirds overlap. */
bool heap_trend_rises(const struct heap_trend *t)
{
	uint64_t min[3], max[3], noise;

	if (t->n < MIN_POINTS)
		return false;
	for (uint32_t i = 0; i < 3; i++)
		bounds(t, t->n * i / 3, t->n * (i + 1) / 3, &min[i], &max[i]);
	noise = max[2] / 200 > MIN_RISE_BYTES ? max[2] / 200 : MIN_RISE_BYTES;
	return min[1] >= max[0] && min[2] >= max[1] && min[2] > min[0] && max[2] - min[0] > noise &&
	       min[2] - max[0] > noise / 4;
}
