/* SPDX-License-Identifier: Apache-2.0 */
/* perftop_register.c: gives names to slots. */
#include <errno.h>
#include <string.h>

#include "probes/perftop_inner.h"

static void copy_text(char *dst, size_t size, const char *src)
{
	size_t n = src ? strnlen(src, size - 1) : 0;

	if (n)
		memcpy(dst, src, n);
	dst[n] = 0;
}

static uint32_t add_metric(struct perftop_segment *seg, enum perftop_kind kind, const char *name,
			   const char *unit, const char *help)
{
	uint32_t n = seg->metrics;
	struct perftop_metric *m;
	char key[sizeof(m->name)];

	copy_text(key, sizeof(key), name);
	for (uint32_t i = 0; i < n; i++) {
		m = inner_metric(seg, i);
		if (m->kind == kind && !strcmp(m->name, key))
			return i + 1;
	}
	if (n >= PERFTOP_MAX_METRICS || !key[0]) {
		__atomic_fetch_add(&seg->refused_metrics, 1, __ATOMIC_RELAXED);
		return 0;
	}
	m = inner_metric(seg, n);
	m->kind = kind;
	copy_text(m->name, sizeof(m->name), name);
	copy_text(m->unit, sizeof(m->unit), unit);
	copy_text(m->help, sizeof(m->help), help);
	/* The reader, and a child forked in this moment, see whole metrics only. */
	__atomic_store_n(&seg->metrics, n + 1, __ATOMIC_RELEASE);
	return n + 1;
}

static uint32_t register_metric(enum perftop_kind kind, const char *name, const char *unit,
				const char *help)
{
	struct inner *in = inner_get();
	struct perftop_segment *seg;
	int saved_errno = errno;
	uint32_t slot = 0;

	if (!in)
		return 0;
	pthread_mutex_lock(&in->lock);
	seg = in->segment;
	if (!seg && !in->failed)
		seg = inner_make_segment(in);
	if (seg)
		slot = add_metric(seg, kind, name, unit, help);
	pthread_mutex_unlock(&in->lock);
	errno = saved_errno;
	return slot;
}

struct perftop_counter perftop_counter(const char *name, const char *unit, const char *help)
{
	return (struct perftop_counter){register_metric(PERFTOP_COUNTER, name, unit, help)};
}

struct perftop_gauge perftop_gauge(const char *name, const char *unit, const char *help)
{
	return (struct perftop_gauge){register_metric(PERFTOP_GAUGE, name, unit, help)};
}

struct perftop_hist perftop_hist(const char *name, const char *unit, const char *help)
{
	inner_calibrate();
	return (struct perftop_hist){register_metric(PERFTOP_HIST, name, unit, help)};
}
