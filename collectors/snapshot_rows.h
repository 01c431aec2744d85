/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot_rows.h: rows of a snapshot reached through the tables that describe them. */
#ifndef PERFTOP_SNAPSHOT_ROWS_H
#define PERFTOP_SNAPSHOT_ROWS_H

#include "collectors/snapshot.h"

static inline uint32_t snapshot_row_count(const struct snapshot *s, const struct table *t)
{
	uint32_t n = 1;

	if (t->count_offset)
		n = *(const uint32_t *)((const char *)s + t->count_offset);
	return n < t->max ? n : t->max;
}

static inline const void *snapshot_row(const struct snapshot *s, const struct table *t, uint32_t i)
{
	return (const char *)s + t->rows_offset + i * t->stride;
}

/* Rows of struct snap_latency, each with a histogram in snapshot.bins. */
static inline bool snapshot_table_has_bins(const struct table *t)
{
	return t->rows_offset == offsetof(struct snapshot, latency) ||
	       t->rows_offset == offsetof(struct snapshot, syscalls) ||
	       t->rows_offset == offsetof(struct snapshot, block);
}

/* The bins of a row, clamped to those that the snapshot holds. */
static inline const struct snap_bin *snapshot_row_bins(const struct snapshot *s,
						       const struct snap_latency *row, uint32_t *n)
{
	uint32_t have = s->nbins < SNAP_BINS ? s->nbins : SNAP_BINS;

	*n = 0;
	if (row->bin_first >= have)
		return s->bins;
	*n = have - row->bin_first;
	if (row->bin_count < *n)
		*n = row->bin_count;
	return s->bins + row->bin_first;
}

#endif
