/* SPDX-License-Identifier: Apache-2.0 */
/* segment_image.h: a valid segment of counters in a memfd, for tests to spoil. */
#ifndef PERFTOP_SEGMENT_IMAGE_H
#define PERFTOP_SEGMENT_IMAGE_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probes/perftop_segment.h"

/* Metrics 0 to 2: a counter of 42, a gauge of -7, and a histogram of 100 three times. */
static inline void segment_image_fill(char *base, uint64_t bytes)
{
	struct perftop_segment *h = (struct perftop_segment *)base;
	struct perftop_metric *m = (struct perftop_metric *)(base + PERFTOP_METRICS_OFFSET);
	struct perftop_shard *s = (struct perftop_shard *)(base + PERFTOP_SHARDS_OFFSET);
	struct perftop_bins *b = (struct perftop_bins *)(base + PERFTOP_BINS_OFFSET);

	*h = (struct perftop_segment){
		.magic = PERFTOP_SEGMENT_MAGIC,
		.version = PERFTOP_SEGMENT_VERSION,
		.header_bytes = sizeof(*h),
		.total_bytes = bytes,
		.gauges_offset = PERFTOP_GAUGES_OFFSET,
		.metrics_offset = PERFTOP_METRICS_OFFSET,
		.shards_offset = PERFTOP_SHARDS_OFFSET,
		.shared_offset = PERFTOP_SHARED_OFFSET,
		.bins_offset = PERFTOP_BINS_OFFSET,
		.metric_bytes = sizeof(*m),
		.shard_bytes = PERFTOP_SHARD_BYTES,
		.bins_bytes = sizeof(*b),
		.bucket_count = BUCKET_COUNT,
		.max_metrics = PERFTOP_MAX_METRICS,
		.max_shards = PERFTOP_SHARDS,
		.max_bins = PERFTOP_MAX_BINS(bytes),
		.slots = PERFTOP_SLOTS,
		.pid = 1,
		.start_ns = 1,
		.metrics = 3,
		.shards = 1,
		.bins = 1,
		.threads = 1,
	};
	for (uint32_t i = 0; i < 3; i++) {
		m[i].kind = PERFTOP_COUNTER + i;
		snprintf(m[i].name, sizeof(m[i].name), "metric.%u", i);
		snprintf(m[i].unit, sizeof(m[i].unit), "ns");
		snprintf(m[i].help, sizeof(m[i].help), "help for %u", i);
	}
	s->offset = PERFTOP_SHARDS_OFFSET;
	s->value[1] = 42;
	((int64_t *)(base + PERFTOP_GAUGES_OFFSET))[2] = -7;
	b->slot = 3;
	b->bins[bucket_index(100)] = 3;
	b->touched = 1ull << (bucket_index(100) / 32);
	b->sum = 300;
	b->max = 100;
	b->count = 3;
}

/* A memfd with that image, mapped at *base; sealed like a real one if asked for. -1 on failure. */
static inline int segment_image_new(uint64_t bytes, int sealed, char **base)
{
	int fd = memfd_create(PERFTOP_SEGMENT_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)bytes))
		return -1;
	*base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*base == MAP_FAILED)
		return -1;
	segment_image_fill(*base, bytes);
	if (sealed && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -1;
	return fd;
}

#endif
