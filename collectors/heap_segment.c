/* SPDX-License-Identifier: Apache-2.0 */
/* heap_segment.c: attaches to what libperftop_heap.so keeps, checks it, adds it up. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <fcntl.h>

#include "collectors/heap_segment_priv.h"
#include "collectors/snapshot.h"

int heap_segment_corrupt(struct heap_segment *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->why, sizeof(s->why), format, args);
	va_end(args);
	return -EBADMSG;
}

/* ---- opening -------------------------------------------------------------------------------- */

#define FIELD(f, expected)                                                     \
	{                                                                      \
#f, offsetof(struct heap_segment_header, f),                   \
			sizeof(((struct heap_segment_header *)0)->f), expected \
	}

static const struct {
	const char *name;
	size_t offset, size;
	uint64_t expected;
} fixed_fields[] = {
	FIELD(magic, HEAP_SEGMENT_MAGIC),
	FIELD(version, HEAP_SEGMENT_VERSION),
	FIELD(header_bytes, sizeof(struct heap_segment_header)),
	FIELD(total_bytes, HEAP_SEGMENT_BYTES),
	FIELD(control_offset, HEAP_CONTROL_OFFSET),
	FIELD(state_offset, HEAP_STATE_OFFSET),
	FIELD(pauses_offset, HEAP_PAUSES_OFFSET),
	FIELD(shards_offset, HEAP_SHARDS_OFFSET),
	FIELD(table_offset, HEAP_TABLE_OFFSET),
	FIELD(infos_offset, HEAP_INFOS_OFFSET),
	FIELD(ring_offset, HEAP_RING_OFFSET),
	FIELD(shard_bytes, HEAP_SHARD_BYTES),
	FIELD(shards, HEAP_SHARDS),
	FIELD(classes, HEAP_CLASSES),
	FIELD(table, HEAP_TABLE),
	FIELD(ring_bytes, HEAP_RING_BYTES),
	FIELD(record_bytes, sizeof(struct heap_record)),
	FIELD(bucket_count, BUCKET_COUNT),
	FIELD(regs, HEAP_REGS),
};

static int check_header(struct heap_segment *s)
{
	for (size_t i = 0; i < sizeof(fixed_fields) / sizeof(fixed_fields[0]); i++) {
		uint64_t v = 0;

		memcpy(&v, (const char *)&s->head + fixed_fields[i].offset, fixed_fields[i].size);
		if (v != fixed_fields[i].expected)
			return heap_segment_corrupt(s, "its %s is %llu, not %llu",
						    fixed_fields[i].name, (unsigned long long)v,
						    (unsigned long long)fixed_fields[i].expected);
	}
	if (!memchr(s->head.allocator, 0, sizeof(s->head.allocator)))
		return heap_segment_corrupt(s, "the allocator's name has no end");
	if (s->head.size_from < HEAP_SIZE_CHUNK || s->head.size_from > HEAP_SIZE_NONE)
		return heap_segment_corrupt(s, "its size_from is %u", s->head.size_from);
	if (s->head.from < HEAP_FROM_START || s->head.from > HEAP_FROM_LATE)
		return heap_segment_corrupt(s, "its from is %u", s->head.from);
	return 0;
}

/*
 * The pages that samples go to, before the target writes to them: making one costs it several
 * microseconds. It does so where this fails.
 */
static void make_pages(const struct heap_segment *s)
{
	void *p = mmap(NULL, HEAP_SEGMENT_BYTES - HEAP_TABLE_OFFSET, PROT_READ,
		       MAP_SHARED | MAP_POPULATE, s->place.fd, (off_t)HEAP_TABLE_OFFSET);

	if (p != MAP_FAILED)
		munmap(p, HEAP_SEGMENT_BYTES - HEAP_TABLE_OFFSET);
}

/* Map it, but only if it cannot shrink under the mapping. */
static int open_place(struct heap_segment *s)
{
	int seals = fcntl(s->place.fd, F_GET_SEALS), err;
	struct stat st;

	if (fstat(s->place.fd, &st))
		return -errno;
	if (st.st_size != (off_t)HEAP_SEGMENT_BYTES)
		return heap_segment_corrupt(s, "it is %lld bytes", (long long)st.st_size);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return heap_segment_corrupt(s, "it is not sealed");
	if (pread(s->place.fd, &s->head, sizeof(s->head), 0) != sizeof(s->head))
		return heap_segment_corrupt(s, "its header cannot be read");
	err = check_header(s);
	if (err)
		return err;
	s->base =
		mmap(NULL, HEAP_SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, s->place.fd, 0);
	if (s->base == MAP_FAILED) {
		s->base = NULL;
		return -errno;
	}
	make_pages(s);
	s->tail = heap_segment_load(&heap_segment_control(s)->tail);
	snapshot_string(s->totals.allocator, sizeof(s->totals.allocator), s->head.allocator);
	s->totals.size_from = s->head.size_from;
	s->totals.from = s->head.from;
	s->totals.start_ns = s->head.start_ns;
	return heap_segment_refresh(s);
}

static void explain(char *why, size_t size, int err, const char *detail)
{
	switch (err) {
	case -EBADMSG:
		snprintf(why, size, "what its heap sampler keeps is corrupt: %s", detail);
		break;
	case -ENOENT:
		snprintf(why, size, "the heap sampler is not loaded in it");
		break;
	case -EACCES:
		snprintf(why, size, "not allowed to look into this process");
		break;
	case -ESRCH:
		snprintf(why, size, "there is no such process, or it has ended");
		break;
	default:
		snprintf(why, size, "its heap sampler cannot be read: %s", strerror(-err));
	}
}

static struct heap_segment *alloc_segment(int *err, char *why, size_t why_size)
{
	struct heap_segment *s = aligned_alloc(64, sizeof(*s));

	if (!s) {
		*err = -ENOMEM;
		explain(why, why_size, -ENOMEM, "");
		return NULL;
	}
	memset(s, 0, sizeof(*s));
	s->pidfd = -1;
	s->place.fd = -1;
	return s;
}

/* Takes s; gives it back when all is well. */
static struct heap_segment *finish_open(struct heap_segment *s, int err, int *err_out, char *why,
					size_t size)
{
	if (!err)
		err = open_place(s);
	*err_out = err;
	if (!err)
		return s;
	explain(why, size, err, s->why);
	heap_segment_free(s);
	return NULL;
}

struct heap_segment *heap_segment_attach(int pid, int *err, char *why, size_t why_size)
{
	struct heap_segment *s = alloc_segment(err, why, why_size);
	int e;

	if (!s)
		return NULL;
	s->pid = pid;
	s->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	e = s->pidfd < 0 && errno == ESRCH ? -ESRCH : heap_segment_find(pid, &s->place);
	return finish_open(s, e, err, why, why_size);
}

struct heap_segment *heap_segment_open(int fd, int *err, char *why, size_t why_size)
{
	struct heap_segment *s = alloc_segment(err, why, why_size);

	if (!s) {
		close(fd);
		return NULL;
	}
	s->place.fd = fd;
	return finish_open(s, 0, err, why, why_size);
}

void heap_segment_free(struct heap_segment *s)
{
	if (!s)
		return;
	if (s->base)
		munmap(s->base, HEAP_SEGMENT_BYTES);
	if (s->place.fd >= 0)
		close(s->place.fd);
	if (s->pidfd >= 0)
		close(s->pidfd);
	free(s);
}

/* ---- totals --------------------------------------------------------------------------------- */

static void add_shard(struct heap_totals *t, const struct heap_shard *shard)
{
	/* Frees before allocations: what is taken off was then added. */
	t->free_bytes += heap_segment_load(&shard->free_bytes);
	for (int i = 0; i < HEAP_CLASSES; i++)
		t->class_frees[i] += heap_segment_load(&shard->classes[i].frees);
	t->alloc_bytes += heap_segment_load(&shard->alloc_bytes);
	for (int i = 0; i < HEAP_CLASSES; i++)
		t->class_allocs[i] += heap_segment_load(&shard->classes[i].allocs);
}

static const struct heap_shard *shard_at(const struct heap_segment *s, uint32_t i)
{
	return (const void *)(s->base + HEAP_SHARDS_OFFSET + i * HEAP_SHARD_BYTES);
}

static uint64_t pause_quantile(const uint64_t *bins, uint64_t total, double q)
{
	uint64_t rank = (uint64_t)(q * (double)total), seen = 0;

	for (unsigned int i = 0; i < BUCKET_COUNT; i++) {
		seen += heap_segment_load(&bins[i]);
		if (seen > rank)
			return bucket_mid(i);
	}
	return 0;
}

static void read_told(const struct heap_told *t, struct heap_told *out)
{
	out->answered_ns = heap_segment_load(&t->answered_ns);
	out->live = heap_segment_load(&t->live);
	out->held = heap_segment_load(&t->held);
	out->small = heap_segment_load(&t->small);
	out->whole = heap_segment_load(&t->whole);
	out->arenas = heap_segment_load(&t->arenas);
	out->counted = heap_segment_load(&t->counted);
}

static void read_state(struct heap_segment *s)
{
	const struct heap_state *st = heap_segment_state(s);
	const uint64_t *bins = (const uint64_t *)(s->base + HEAP_PAUSES_OFFSET);
	struct heap_totals *t = &s->totals;
	uint64_t timed = 0;

	t->mean_bytes = heap_segment_load(&st->mean_bytes);
	t->samples = heap_segment_load(&st->samples);
	t->dropped = heap_segment_load(&st->dropped);
	t->dropped_bytes = heap_segment_load(&st->dropped_bytes);
	t->unread = heap_segment_load(&st->unread);
	t->timed = heap_segment_load(&st->timed);
	t->pauses = heap_segment_load(&st->pauses);
	t->pause_max_ns = heap_segment_load(&st->pause_max_ns);
	t->refused_threads = heap_segment_load(&st->refused_threads);
	t->threads = __atomic_load_n(&st->threads, __ATOMIC_RELAXED);
	read_told(&st->told, &t->told);
	for (unsigned int i = 0; i < BUCKET_COUNT; i++)
		timed += heap_segment_load(&bins[i]);
	t->pause_p50_ns = timed ? pause_quantile(bins, timed, 0.5) : 0;
	t->pause_p99_ns = timed ? pause_quantile(bins, timed, 0.99) : 0;
}

static int read_totals(struct heap_segment *s)
{
	uint32_t n = __atomic_load_n(&heap_segment_state(s)->shards, __ATOMIC_ACQUIRE);
	struct heap_totals *t = &s->totals;
	struct stat st;

	/* Shards in use have been written to: a claim to more would have us make their pages. */
	if (n > HEAP_THREADS || fstat(s->place.fd, &st) ||
	    n > (uint64_t)st.st_blocks * 512 / 4096 + 1)
		return heap_segment_corrupt(s, "it claims %u shards", n);
	t->free_bytes = t->alloc_bytes = t->allocs = t->frees = 0;
	memset(t->class_allocs, 0, sizeof(t->class_allocs));
	memset(t->class_frees, 0, sizeof(t->class_frees));
	for (uint32_t i = 0; i < n; i++)
		add_shard(t, shard_at(s, i));
	if (__atomic_load_n(&heap_segment_state(s)->shared, __ATOMIC_ACQUIRE))
		add_shard(t, shard_at(s, HEAP_THREADS));
	for (unsigned int i = 0; i < HEAP_CLASSES; i++) {
		t->allocs += t->class_allocs[i];
		t->frees += t->class_frees[i];
		if (heap_class_is_exact(i, s->head.size_from)) {
			t->alloc_bytes += t->class_allocs[i] * heap_class_top(i);
			t->free_bytes += t->class_frees[i] * heap_class_top(i);
		}
	}
	t->live_bytes = (int64_t)(t->alloc_bytes - t->free_bytes);
	t->live_objects = (int64_t)(t->allocs - t->frees);
	read_state(s);
	return 0;
}

/* Whether the process has ended or runs another program. */
static bool is_gone(struct heap_segment *s)
{
	struct pollfd p = {.fd = s->pidfd, .events = POLLIN};
	struct heap_place now;
	bool same;

	if (s->pidfd < 0)
		return false;
	if (poll(&p, 1, 0) > 0)
		return true;
	if (heap_segment_still_there(&s->place))
		return false;
	/* The program closed the descriptor, or moved it. */
	if (heap_segment_find(s->pid, &now))
		return true;
	same = now.dev == s->place.dev && now.ino == s->place.ino;
	close(now.fd);
	if (same)
		memcpy(s->place.path, now.path, sizeof(now.path));
	return !same;
}

int heap_segment_refresh(struct heap_segment *s)
{
	bool gone = is_gone(s);
	int err = read_totals(s);

	/* What was counted up to the end is in what we still have mapped. */
	return gone ? -ESRCH : err;
}

/* ---- the rest ------------------------------------------------------------------------------- */

bool heap_segment_lives(const struct heap_segment *s, uint32_t index, uint64_t id)
{
	const uint64_t *table = (const uint64_t *)(s->base + HEAP_TABLE_OFFSET);
	const struct heap_info *infos = (const struct heap_info *)(s->base + HEAP_INFOS_OFFSET);

	return index < HEAP_TABLE && heap_segment_load(&table[index]) &&
	       heap_segment_load(&infos[index].id) == id;
}

uint64_t heap_segment_lost(const struct heap_segment *s)
{
	return s->lost + heap_segment_load(&heap_segment_state(s)->lost_frees);
}

void heap_segment_set_mean(struct heap_segment *s, uint64_t mean_bytes)
{
	__atomic_store_n(&heap_segment_control(s)->mean_bytes, mean_bytes, __ATOMIC_RELAXED);
}

void heap_segment_set_slice(struct heap_segment *s, uint64_t slice_bytes)
{
	__atomic_store_n(&heap_segment_control(s)->slice_bytes, slice_bytes, __ATOMIC_RELAXED);
}

void heap_segment_set_pause(struct heap_segment *s, uint64_t threshold_ns)
{
	__atomic_store_n(&heap_segment_control(s)->pause_ns, threshold_ns, __ATOMIC_RELAXED);
}

const struct heap_totals *heap_segment_totals(const struct heap_segment *s)
{
	return &s->totals;
}

const char *heap_segment_why(const struct heap_segment *s)
{
	return s->why;
}

bool heap_segment_owns(const struct heap_segment *s, uint64_t pc)
{
	return pc >= s->head.text_start && pc < s->head.text_end;
}

uint64_t heap_segment_bytes(const struct heap_segment *s)
{
	struct stat st;

	return fstat(s->place.fd, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

int heap_segment_pid_seen(const struct heap_segment *s)
{
	return (int)s->head.pid;
}
