/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot_fill.h: snapshots with a value in every field that is described, and their comparison.
 */
#ifndef PERFTOP_SNAPSHOT_FILL_H
#define PERFTOP_SNAPSHOT_FILL_H

#include "collectors/snapshot.h"

/*
 * Up to `rows` rows in each table, histograms, stacks and symbols. No field is 0 or "", and
 * another seed gives other values.
 */
void snapshot_fill(struct snapshot *s, uint32_t rows, uint64_t seed);

/* Fails the running cmocka test, naming the first field that differs. */
void snapshot_assert_equal(const struct snapshot *a, const struct snapshot *b);

#endif
