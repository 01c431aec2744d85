/* SPDX-License-Identifier: Apache-2.0 */
/* metered_patterns.h: pattern extraction with counters. */
#ifndef KERNELS_METERED_PATTERNS_H
#define KERNELS_METERED_PATTERNS_H

#include "kernels/kernels.h"
#include "kernels/patterns/kmeans.h"

/* m is made of a `matrix` row, whose instruction set is used: one call a run, FLOPs as they were
 * due. */
static inline int metered_kmeans_run(const struct metered *m, const struct kmeans *km,
				     void *scratch, size_t scratch_bytes,
				     struct kmeans_result *result)
{
	int err;
	PERFTOP_SCOPE(m->ns);

	err = kmeans_run(km, m->kernel->isa, scratch, scratch_bytes, result);
	if (!err) {
		uint64_t assignments = result->iterations + 1ull;

		perftop_add(m->flops, assignments * kmeans_iteration_flops(km));
		perftop_add(m->bytes, assignments * km->n * km->dim * sizeof(float));
	}
	return err;
}

#endif
