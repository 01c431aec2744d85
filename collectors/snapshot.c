/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c: storage, copying and cleaning of snapshots. */
#include "collectors/snapshot.h"

#include <string.h>
#include <sys/mman.h>

#include "probes/bucket.h"

#define USED(s, array, n) (size_t)(s)->n * sizeof((s)->array[0])

/* Every array of the snapshot with its count; the scalars before `sections` are copied whole. */
#define SNAPSHOT_ARRAYS(X)           \
	X(sections, nsections)       \
	X(alerts, nalerts)           \
	X(events, nevents)           \
	X(blocked, nblocked)         \
	X(locks, nlocks)             \
	X(kernels, nkernels)         \
	X(stacks, nstacks)           \
	X(wait_stacks, nwait_stacks) \
	X(tails, ntails)             \
	X(block, nblock)             \
	X(faults, nfaults)           \
	X(sockets, nsockets)         \
	X(processes, nprocesses)     \
	X(heap_sizes, nheap_sizes)   \
	X(heap_ages, nheap_ages)     \
	X(heap_sites, nheap_sites)   \
	X(latency, nlatency)         \
	X(syscalls, nsyscalls)       \
	X(functions, nfunctions)     \
	X(threads, nthreads)         \
	X(counters, ncounters)       \
	X(symbols, nsymbols)         \
	X(bins, nbins)

struct snapshot *snapshot_new(void)
{
	void *p = mmap(NULL, sizeof(struct snapshot), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void snapshot_free(struct snapshot *s)
{
	if (s)
		munmap(s, sizeof(*s));
}

void snapshot_clear(struct snapshot *s)
{
#define X(array, n) memset(s->array, 0, USED(s, array, n));
	SNAPSHOT_ARRAYS(X)
#undef X
	memset(s, 0, offsetof(struct snapshot, sections));
}

void snapshot_copy(struct snapshot *dst, const struct snapshot *src)
{
	memcpy(dst, src, offsetof(struct snapshot, sections));
#define X(array, n) memcpy(dst->array, src->array, USED(src, array, n));
	SNAPSHOT_ARRAYS(X)
#undef X
}

const struct snap_section *snapshot_find_section(const struct snapshot *s, const char *name)
{
	for (uint32_t i = 0; i < s->nsections; i++)
		if (!strcmp(s->sections[i].name, name))
			return &s->sections[i];
	return NULL;
}

struct snap_section *snapshot_section(struct snapshot *s, const char *name)
{
	const struct snap_section *known = snapshot_find_section(s, name);
	struct snap_section *sec;

	if (known)
		return &s->sections[known - s->sections];
	if (s->nsections == SNAP_SECTIONS)
		return NULL;
	sec = &s->sections[s->nsections++];
	memset(sec, 0, sizeof(*sec));
	snapshot_string(sec->name, sizeof(sec->name), name);
	return sec;
}

void snapshot_set_section(struct snapshot *s, const char *name, enum section_status status,
			  const char *reason, const char *fix)
{
	struct snap_section *sec = snapshot_section(s, name);

	if (!sec)
		return;
	sec->status = status;
	snapshot_string(sec->reason, sizeof(sec->reason), reason ? reason : "");
	snapshot_string(sec->fix, sizeof(sec->fix), fix ? fix : "");
}

uint32_t snapshot_add_symbol(struct snapshot *s, const char *name, const char *module)
{
	struct snap_symbol *sym;

	if (s->nsymbols >= SNAP_SYMBOLS - 1) {
		/* The last place stands for all that did not fit. */
		if (s->nsymbols < SNAP_SYMBOLS) {
			snapshot_string(s->symbols[s->nsymbols].name, SNAP_NAME, "…");
			s->nsymbols++;
		}
		return SNAP_SYMBOLS - 1;
	}
	sym = &s->symbols[s->nsymbols];
	snapshot_string(sym->name, sizeof(sym->name), name);
	snapshot_string(sym->module, sizeof(sym->module), module);
	return s->nsymbols++;
}

uint32_t snapshot_symbol(struct snapshot *s, const char *name, const char *module)
{
	for (uint32_t i = 0; i < s->nsymbols; i++)
		if (!strcmp(s->symbols[i].name, name) && !strcmp(s->symbols[i].module, module))
			return i;
	return snapshot_add_symbol(s, name, module);
}

/* Bytes of the valid UTF-8 sequence at p, or 0. Control characters C0, DEL and C1 are invalid. */
static size_t utf8_length(const unsigned char *p)
{
	uint32_t c;

	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	if (p[0] >= 0xc2 && p[0] <= 0xdf && (p[1] & 0xc0) == 0x80)
		return p[0] == 0xc2 && p[1] < 0xa0 ? 0 : 2;
	if ((p[0] & 0xf0) == 0xe0 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80) {
		c = (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
		/* Overlong, surrogates, and the bidirectional and line controls. */
		if (c < 0x800 || (c >= 0xd800 && c <= 0xdfff) || (c >= 0x200b && c <= 0x200f) ||
		    (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff)
			return 0;
		return 3;
	}
	if (p[0] >= 0xf0 && p[0] <= 0xf4 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80 &&
	    (p[3] & 0xc0) == 0x80) {
		c = (p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
		return c >= 0x10000 && c <= 0x10ffff ? 4 : 0;
	}
	return 0;
}

void snapshot_string(char *dst, size_t size, const char *src)
{
	const unsigned char *p = (const unsigned char *)src;
	size_t n = 0;

	if (!size)
		return;
	while (p && *p) {
		size_t len = utf8_length(p);

		if (n + (len ? len : 1) >= size)
			break;
		if (len)
			memcpy(dst + n, p, len);
		else
			dst[n] = '?';
		n += len ? len : 1;
		p += len ? len : 1;
	}
	dst[n] = '\0';
}

uint64_t snapshot_quantile(const struct snap_bin *bins, uint32_t n, uint64_t total, double q)
{
	uint64_t rank = (uint64_t)(q * (double)total), seen = 0;

	if (!total || !n)
		return 0;
	/* The value that at least q of all values do not exceed: rank counts from 1. */
	if ((double)rank < q * (double)total || !rank)
		rank++;
	for (uint32_t i = 0; i < n; i++) {
		seen += bins[i].count;
		if (seen >= rank)
			return bucket_mid(bins[i].bucket);
	}
	return bucket_mid(bins[n - 1].bucket);
}
