/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_hnsw.c: a file of an index that is not what it says.
 *
 * The input is what follows a file's header of durable.h, whose checksum a fuzzer would not guess.
 * What is accepted is searched, changed, repaired and searched again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/patterns/hnsw.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void search(const struct hnsw *h, struct hnsw_searcher *s, const float *query)
{
	struct neighbour out[8];
	int n = hnsw_search(h, s, query, 8, 20, out);

	if (n < 0 || n > 8)
		abort();
	for (int i = 0; i < n; i++)
		if (!hnsw_vector(h, out[i].id))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hnsw_options o = {.capacity = 64, .build_ef = 16};
	uint32_t id, capacity;
	struct hnsw_searcher *s;
	struct hnsw *h;
	float *query;

	/* Address space for what a header claims: a megabyte of nodes is as good as all. */
	if (size >= 16) {
		memcpy(&capacity, data + 12, sizeof(capacity));
		if (capacity > 1 << 20)
			return 0;
	}
	h = hnsw_parse(data, size, &o, NULL);
	if (!h)
		return 0;
	s = hnsw_searcher_new(h, 20);
	query = calloc(hnsw_dim(h), sizeof(*query));
	if (!s || !query)
		abort();
	search(h, s, query);
	for (uint32_t i = 0; i < 4; i++) {
		query[0] = (float)i;
		if (!hnsw_insert(h, query, &id))
			search(h, s, query);
		hnsw_delete(h, i * 3);
	}
	search(h, s, query);
	hnsw_repair(h);
	search(h, s, query);
	free(query);
	hnsw_searcher_free(s);
	hnsw_free(h);
	return 0;
}
