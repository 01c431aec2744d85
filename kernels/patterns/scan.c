/* SPDX-License-Identifier: Apache-2.0 */
/* scan.c: a block of distances at a time, and those that beat the k-th best so far. */
#include "kernels/patterns/scan.h"

#include <errno.h>
#include <math.h>

#include "kernels/kernels.h"

/* Rows a block: their distances stay in the first-level cache. */
enum { SCAN_BLOCK = 256 };

bool scan_offer(struct neighbour *best, uint32_t *n, uint32_t k, float distance, uint32_t id)
{
	uint32_t at = *n;

	if (!(distance <= INFINITY)) /* NaN */
		return false;
	while (at && (best[at - 1].distance > distance ||
		      (best[at - 1].distance == distance && best[at - 1].id > id)))
		at--;
	if (at >= k)
		return false;
	for (uint32_t i = *n < k ? *n : k - 1; i > at; i--)
		best[i] = best[i - 1];
	best[at] = (struct neighbour){distance, id};
	*n += *n < k;
	return true;
}

int scan_nearest(const struct kernel *distance, const void *query, const struct distance_rows *r,
		 uint32_t k, struct neighbour *out)
{
	float d[SCAN_BLOCK];
	uint32_t n = 0;

	if (!distance || distance->kind != KERNEL_distance || !query || !r || r->ids || !k || !out)
		return -EINVAL;
	for (uint32_t from = 0; from < r->n; from += SCAN_BLOCK) {
		struct distance_rows block = *r;
		int err;

		block.rows = (const char *)r->rows + from * r->row_bytes;
		block.n = r->n - from < SCAN_BLOCK ? r->n - from : SCAN_BLOCK;
		err = distance->run.distance(query, &block, d);
		if (err)
			return err;
		for (uint32_t i = 0; i < block.n; i++)
			if (n < k || d[i] < out[k - 1].distance)
				scan_offer(out, &n, k, d[i], from + i);
	}
	return (int)n;
}
