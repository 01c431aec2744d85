/* SPDX-License-Identifier: Apache-2.0 */
/* metered_patterns.h: pattern search and extraction with the counters of their kernels. */
#ifndef KERNELS_METERED_PATTERNS_H
#define KERNELS_METERED_PATTERNS_H

#include <string.h>

#include "kernels/kernels.h"
#include "kernels/patterns/hnsw.h"
#include "kernels/patterns/kmeans.h"
#include "kernels/patterns/scan.h"

/* m is of a `distance` row: kernel.distance_l2.ISA.ns and so on, one call a scan. */
static inline int metered_scan_nearest(const struct metered *m, const void *query,
				       const struct distance_rows *r, uint32_t k,
				       struct neighbour *out)
{
	PERFTOP_SCOPE(m->ns);
	perftop_add(m->flops, distance_flops(r));
	perftop_add(m->bytes, r->n * r->row_bytes);
	return scan_nearest(m->kernel, query, r, k, out);
}

/* m is of a `matrix` row, whose instruction set is used: one call a run, FLOPs as they were due. */
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

/* m is of the `distance` row that the index walks by, s of the calling thread. */
static inline int metered_hnsw_search(const struct metered *m, const struct hnsw *h,
				      struct hnsw_searcher *s, const float *query, uint32_t k,
				      uint32_t ef, struct neighbour *out)
{
	const bool coded = strcmp(m->kernel->name, "distance_l2_i8") == 0;
	uint64_t before = hnsw_searcher_distances(s), n;
	int found;
	PERFTOP_SCOPE(m->ns);

	found = hnsw_search(h, s, query, k, ef, out);
	n = (hnsw_searcher_distances(s) - before) * hnsw_dim(h);
	perftop_add(m->flops, 3 * n);
	perftop_add(m->bytes, n * (coded ? sizeof(int8_t) : sizeof(float)));
	return found;
}

#endif
