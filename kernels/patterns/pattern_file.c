/* SPDX-License-Identifier: Apache-2.0 */
/* pattern_file.c: a pattern store as a file, and back with nothing in it believed. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/durable.h"
#include "kernels/patterns/pattern_store_state.h"

/* The header, the patterns of all slots (id 0: none), then what hnsw_pack() made of the index. */
struct store_header {
	uint32_t dim, capacity, slots, born;
	uint64_t index_bytes;
};
_Static_assert(sizeof(struct store_header) == 24 && sizeof(struct pattern) == 40,
	       "the file's format");

static const char store_kind[] = "patterns";
enum { STORE_VERSION = 1 };
#define STORE_FILE_MAX (1ull << 40)

int pattern_store_save(const struct pattern_store *s, const char *path)
{
	struct store_header f = {0};
	struct hnsw_stats stats;
	struct iovec parts[3];
	size_t size;
	void *index;
	int err;

	if (!s || !path)
		return -EINVAL;
	err = hnsw_pack(s->index, &index, &size);
	if (err)
		return err;
	hnsw_stats(s->index, &stats);
	f.dim = s->o.dim;
	f.capacity = s->o.capacity;
	f.slots = stats.slots;
	f.born = s->born;
	f.index_bytes = size;
	parts[0] = (struct iovec){&f, sizeof(f)};
	parts[1] = (struct iovec){s->pattern, stats.slots * sizeof(*s->pattern)};
	parts[2] = (struct iovec){index, size};
	err = durable_save(path, store_kind, STORE_VERSION, parts, 3);
	free(index);
	return err;
}

static int header_read(struct store_header *f, const void *data, size_t size)
{
	if (size < sizeof(*f))
		return -EBADMSG;
	memcpy(f, data, sizeof(*f));
	size -= sizeof(*f);
	if (f->slots > size / sizeof(struct pattern))
		return -EBADMSG;
	return f->index_bytes == size - f->slots * sizeof(struct pattern) ? 0 : -EBADMSG;
}

/* Each pattern has its vector, and each vector its pattern. */
static int adopt_all(struct pattern_store *s, const struct store_header *f, const char *patterns)
{
	struct hnsw_stats stats;

	hnsw_stats(s->index, &stats);
	if (stats.slots != f->slots || f->slots > s->slots || stats.count > s->o.capacity)
		return -EBADMSG;
	for (uint32_t slot = 0; slot < f->slots; slot++) {
		struct pattern p;

		memcpy(&p, patterns + slot * sizeof(p), sizeof(p));
		if (!p.id != !hnsw_vector(s->index, slot))
			return -EBADMSG;
		if (!p.id)
			continue;
		if (pattern_slot(p.id) != slot || p.id >> 32 > f->born || !p.count ||
		    !isfinite(p.quality))
			return -EBADMSG;
		pattern_store_adopt(s, slot, &p);
	}
	s->born = f->born;
	return 0;
}

struct pattern_store *pattern_store_parse(const void *data, size_t size,
					  const struct pattern_store_options *o, int *err)
{
	struct hnsw_options index_options = {.build_ef = PATTERN_BUILD_EF};
	struct pattern_store_options take;
	struct pattern_store *s = NULL;
	struct store_header f;
	struct hnsw *index = NULL;
	const char *patterns = (const char *)data + sizeof(f);
	int e = data && o ? header_read(&f, data, size) : -EINVAL;

	if (!e) {
		take = *o;
		take.dim = f.dim;
		if (take.capacity < f.capacity)
			take.capacity = f.capacity;
		index_options.isa = o->isa;
		index_options.capacity = pattern_slots_for(take.capacity);
		index = hnsw_parse(patterns + f.slots * sizeof(struct pattern),
				   (size_t)f.index_bytes, &index_options, &e);
	}
	if (!e && hnsw_dim(index) != f.dim)
		e = -EBADMSG;
	if (e)
		hnsw_free(index);
	else
		s = pattern_store_alloc(&take, index, &e);
	if (!e)
		e = adopt_all(s, &f, patterns);
	if (err)
		*err = e;
	if (!e)
		return s;
	pattern_store_free(s);
	return NULL;
}

struct pattern_store *pattern_store_load(const char *path, const struct pattern_store_options *o,
					 int *err)
{
	struct pattern_store *s = NULL;
	void *data = NULL;
	size_t size = 0;
	int e = durable_load(path, store_kind, STORE_VERSION, STORE_FILE_MAX, &data, &size);

	if (!e)
		s = pattern_store_parse(data, size, o, &e);
	free(data);
	if (err)
		*err = e;
	return s;
}
