/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_segment.c: a hostile segment of counters.
 *
 * The input edits a valid one. Byte 0: bit 0 leaves it unsealed. Then edits of 7 bytes and more:
 * area, 32-bit offset in the area, length n, how often to refresh first, and n bytes.
 */
#include <stdlib.h>

#include "collectors/segment.h"
#include "tests/fuzz/segment_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t areas[] = {
	0,
	PERFTOP_GAUGES_OFFSET,
	PERFTOP_METRICS_OFFSET,
	PERFTOP_SHARDS_OFFSET,
	PERFTOP_SHARED_OFFSET,
	PERFTOP_BINS_OFFSET,
};

static uint64_t read_metrics(struct segment *s)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < segment_count(s); i++) {
		const struct segment_metric *m = segment_metric(s, i);

		sum += strlen(m->name) + strlen(m->unit) + strlen(m->help) + m->count;
		for (const char *p = m->name; *p; p++)
			if (*p >= 0 && *p < ' ')
				abort();
		for (unsigned int b = 0; m->bins && b < BUCKET_COUNT; b++)
			sum += m->bins[b];
	}
	return sum;
}

/* Apply one edit; returns its length in the input. */
static size_t edit(char *base, uint64_t bytes, const uint8_t *data, size_t size, struct segment *s)
{
	uint64_t offset = areas[data[0] % (sizeof(areas) / sizeof(areas[0]))];
	size_t n = data[5] < size - 7 ? data[5] : size - 7;
	uint32_t in_area;

	memcpy(&in_area, data + 1, sizeof(in_area));
	for (int i = 0; s && i < (data[6] & 3); i++)
		if (!segment_refresh(s))
			read_metrics(s);
	offset = (offset + in_area) % bytes;
	if (offset + n <= bytes)
		memcpy(base + offset, data + 7, n);
	return 7 + n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint64_t bytes = PERFTOP_SEGMENT_MIN_BYTES;
	struct segment *s = NULL;
	char *base, why[128];
	int fd, err;

	if (size < 1)
		return 0;
	fd = segment_image_new(bytes, !(data[0] & 1), &base);
	if (fd < 0)
		return 0;
	/* Bit 1: spoil it before it is opened, else under an open reader. */
	if (!(data[0] & 2))
		s = segment_open(dup(fd), &err, why, sizeof(why));
	for (size_t at = 1; at + 7 <= size;)
		at += edit(base, bytes, data + at, size - at, s);
	if (!s)
		s = segment_open(dup(fd), &err, why, sizeof(why));
	if (s && !segment_refresh(s))
		read_metrics(s);
	segment_free(s);
	munmap(base, bytes);
	close(fd);
	return 0;
}
