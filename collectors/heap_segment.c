/* SPDX-License-Identifier: Apache-2.0 */
/* heap_segment.c: attaches to what libperftop_heap.so keeps, checks it, adds it up, drains it. */
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

#include "collectors/clock.h"
#include "collectors/heap_segment.h"
#include "collectors/heap_segment_find.h"
#include "collectors/snapshot.h"

struct heap_segment {
	int pid, pidfd;
	struct heap_place place;
	char *base;
	struct heap_segment_header head; /* as it was when opened: what is fixed */
	struct heap_totals totals;
	uint64_t tail, lost, stuck_ns;
	char why[192];
	_Alignas(64) char slice[HEAP_SLICE_MAX];
};

static int corrupt(struct heap_segment *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static int corrupt(struct heap_segment *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->why, sizeof(s->why), format, args);
	va_end(args);
	return -EBADMSG;
}

static uint64_t load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static struct heap_control *control_of(const struct heap_segment *s)
{
	return (struct heap_control *)(s->base + HEAP_CONTROL_OFFSET);
}

static const struct heap_state *state_of(const struct heap_segment *s)
{
	return (const struct heap_state *)(s->base + HEAP_STATE_OFFSET);
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
			return corrupt(s, "its %s is %llu, not %llu", fixed_fields[i].name,
				       (unsigned long long)v,
				       (unsigned long long)fixed_fields[i].expected);
	}
	if (!memchr(s->head.allocator, 0, sizeof(s->head.allocator)))
		return corrupt(s, "the allocator's name has no end");
	if (s->head.size_from < HEAP_SIZE_CHUNK || s->head.size_from > HEAP_SIZE_NONE)
		return corrupt(s, "its size_from is %u", s->head.size_from);
	if (s->head.from < HEAP_FROM_START || s->head.from > HEAP_FROM_LATE)
		return corrupt(s, "its from is %u", s->head.from);
	return 0;
}

/* Map it, but only if it cannot shrink under the mapping. */
static int open_place(struct heap_segment *s)
{
	int seals = fcntl(s->place.fd, F_GET_SEALS), err;
	struct stat st;

	if (fstat(s->place.fd, &st))
		return -errno;
	if (st.st_size != (off_t)HEAP_SEGMENT_BYTES)
		return corrupt(s, "it is %lld bytes", (long long)st.st_size);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return corrupt(s, "it is not sealed");
	if (pread(s->place.fd, &s->head, sizeof(s->head), 0) != sizeof(s->head))
		return corrupt(s, "its header cannot be read");
	err = check_header(s);
	if (err)
		return err;
	s->base =
		mmap(NULL, HEAP_SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, s->place.fd, 0);
	if (s->base == MAP_FAILED) {
		s->base = NULL;
		return -errno;
	}
	s->tail = load(&control_of(s)->tail);
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
	t->free_bytes += load(&shard->free_bytes);
	for (int i = 0; i < HEAP_CLASSES; i++)
		t->class_frees[i] += load(&shard->frees[i]);
	t->alloc_bytes += load(&shard->alloc_bytes);
	for (int i = 0; i < HEAP_CLASSES; i++)
		t->class_allocs[i] += load(&shard->allocs[i]);
}

static const struct heap_shard *shard_at(const struct heap_segment *s, uint32_t i)
{
	return (const void *)(s->base + HEAP_SHARDS_OFFSET + i * HEAP_SHARD_BYTES);
}

static uint64_t pause_quantile(const uint64_t *bins, uint64_t total, double q)
{
	uint64_t rank = (uint64_t)(q * (double)total), seen = 0;

	for (unsigned int i = 0; i < BUCKET_COUNT; i++) {
		seen += load(&bins[i]);
		if (seen > rank)
			return bucket_mid(i);
	}
	return 0;
}

static void read_state(struct heap_segment *s)
{
	const struct heap_state *st = state_of(s);
	const uint64_t *bins = (const uint64_t *)(s->base + HEAP_PAUSES_OFFSET);
	struct heap_totals *t = &s->totals;
	uint64_t timed = 0;

	t->mean_bytes = load(&st->mean_bytes);
	t->samples = load(&st->samples);
	t->dropped = load(&st->dropped);
	t->dropped_bytes = load(&st->dropped_bytes);
	t->unread = load(&st->unread);
	t->timed = load(&st->timed);
	t->timed_bytes = load(&st->timed_bytes);
	t->pauses = load(&st->pauses);
	t->pause_max_ns = load(&st->pause_max_ns);
	t->refused_threads = load(&st->refused_threads);
	t->threads = __atomic_load_n(&st->threads, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < BUCKET_COUNT; i++)
		timed += load(&bins[i]);
	t->pause_p50_ns = timed ? pause_quantile(bins, timed, 0.5) : 0;
	t->pause_p99_ns = timed ? pause_quantile(bins, timed, 0.99) : 0;
}

static int read_totals(struct heap_segment *s)
{
	uint32_t n = __atomic_load_n(&state_of(s)->shards, __ATOMIC_ACQUIRE);
	struct heap_totals *t = &s->totals;
	struct stat st;

	/* Shards in use have been written to: a claim to more would have us make their pages. */
	if (n > HEAP_THREADS || fstat(s->place.fd, &st) ||
	    n > (uint64_t)st.st_blocks * 512 / 4096 + 1)
		return corrupt(s, "it claims %u shards", n);
	t->free_bytes = t->alloc_bytes = t->allocs = t->frees = 0;
	memset(t->class_allocs, 0, sizeof(t->class_allocs));
	memset(t->class_frees, 0, sizeof(t->class_frees));
	for (uint32_t i = 0; i < n; i++)
		add_shard(t, shard_at(s, i));
	if (__atomic_load_n(&state_of(s)->shared, __ATOMIC_ACQUIRE))
		add_shard(t, shard_at(s, HEAP_THREADS));
	for (int i = 0; i < HEAP_CLASSES; i++) {
		t->allocs += t->class_allocs[i];
		t->frees += t->class_frees[i];
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

/* ---- records -------------------------------------------------------------------------------- */

/* A copy of the record's header, judged: the original may change between two looks. */
static int check_record(struct heap_segment *s, const struct heap_record *r, uint64_t at,
			uint64_t waiting)
{
	if (r->total_bytes < HEAP_RECORD_ALIGN || r->total_bytes % HEAP_RECORD_ALIGN ||
	    r->total_bytes > HEAP_RING_BYTES - at || r->total_bytes > waiting)
		return corrupt(s, "a record of %u bytes", r->total_bytes);
	if (r->kind == HEAP_RECORD_SKIP)
		return 0;
	if (r->kind < HEAP_RECORD_ALLOC || r->kind > HEAP_RECORD_PAUSE)
		return corrupt(s, "a record of kind %u", r->kind);
	if (r->index >= HEAP_TABLE)
		return corrupt(s, "a sample at place %u", r->index);
	if (r->kind == HEAP_RECORD_FREE)
		return r->total_bytes < HEAP_RECORD_SHORT ? corrupt(s, "a short free") : 0;
	if (r->total_bytes < sizeof(*r) || r->slice_bytes > r->total_bytes - sizeof(*r) ||
	    r->slice_bytes > HEAP_SLICE_MAX)
		return corrupt(s, "a slice of %u bytes in %u", r->slice_bytes, r->total_bytes);
	if (r->kind == HEAP_RECORD_ALLOC && (!r->mean_bytes || !r->id))
		return corrupt(s, "a sample without a mean or an id");
	return 0;
}

static void hand_over(struct heap_segment *s, const struct heap_record *r, uint64_t at,
		      heap_event_fn *fn, void *arg)
{
	struct heap_event e = {
		.kind = r->kind,
		.op = r->op,
		.time_ns = r->time_ns,
		.id = r->id,
		.bytes = r->bytes,
		.mean_bytes = r->mean_bytes,
		.duration_ns = r->duration_ns,
		.index = r->index,
		.tid = r->tid,
		.slice = s->slice,
	};

	_Static_assert((int)UNWIND_REGS == (int)HEAP_REGS, "registers as the unwinder has them");
	if (r->kind != HEAP_RECORD_FREE) {
		memcpy(e.regs.r, r->regs, sizeof(e.regs.r));
		memcpy(s->slice, s->base + HEAP_RING_OFFSET + at + sizeof(*r), r->slice_bytes);
		e.slice_bytes = r->slice_bytes;
	}
	fn(arg, &e);
}

/*
 * A record that was begun is not finished yet. A thread that died in it would keep all others
 * waiting: after two seconds they are given up.
 */
static void wait_for_record(struct heap_segment *s, uint64_t head)
{
	uint64_t now = clock_mono_ns();

	if (!s->stuck_ns) {
		s->stuck_ns = now;
	} else if (now - s->stuck_ns > 2000000000u) {
		s->stuck_ns = 0;
		s->lost++;
		s->tail = head;
	}
}

int64_t heap_segment_drain(struct heap_segment *s, heap_event_fn *fn, void *arg)
{
	struct heap_control *control = control_of(s);
	uint64_t head = __atomic_load_n(&state_of(s)->head, __ATOMIC_ACQUIRE);
	int64_t n = 0;
	int err = 0;

	__atomic_store_n(&control->reader_ns, clock_mono_ns(), __ATOMIC_RELAXED);
	if (head - s->tail > HEAP_RING_BYTES || head % HEAP_RECORD_ALIGN ||
	    s->tail % HEAP_RECORD_ALIGN)
		return corrupt(s, "its ring goes from %llu to %llu", (unsigned long long)s->tail,
			       (unsigned long long)head);
	while (s->tail != head && !err) {
		uint64_t at = s->tail % HEAP_RING_BYTES;
		const struct heap_record *live = (const void *)(s->base + HEAP_RING_OFFSET + at);
		size_t most = HEAP_RING_BYTES - at;
		struct heap_record r = {0};

		/* Pairs with the writer's release: what it sealed is whole. */
		if (__atomic_load_n(&live->seal, __ATOMIC_ACQUIRE) != (s->head.cookie ^ s->tail)) {
			wait_for_record(s, head);
			break;
		}
		memcpy(&r, live, most < sizeof(r) ? most : sizeof(r));
		err = check_record(s, &r, at, head - s->tail);
		if (err)
			break;
		s->stuck_ns = 0;
		if (r.kind != HEAP_RECORD_SKIP) {
			hand_over(s, &r, at, fn, arg);
			n++;
		}
		s->tail += r.total_bytes;
		__atomic_store_n(&control->tail, s->tail, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&control->tail, s->tail, __ATOMIC_RELEASE);
	return err ? err : n;
}

bool heap_segment_lives(const struct heap_segment *s, uint32_t index, uint64_t id)
{
	const uint64_t *table = (const uint64_t *)(s->base + HEAP_TABLE_OFFSET);
	const struct heap_info *infos = (const struct heap_info *)(s->base + HEAP_INFOS_OFFSET);

	return index < HEAP_TABLE && load(&table[index]) && load(&infos[index].id) == id;
}

uint64_t heap_segment_lost(const struct heap_segment *s)
{
	return s->lost + load(&state_of(s)->lost_frees);
}

/* ---- the rest ------------------------------------------------------------------------------- */

void heap_segment_set_mean(struct heap_segment *s, uint64_t mean_bytes)
{
	__atomic_store_n(&control_of(s)->mean_bytes, mean_bytes, __ATOMIC_RELAXED);
}

void heap_segment_set_slice(struct heap_segment *s, uint64_t slice_bytes)
{
	__atomic_store_n(&control_of(s)->slice_bytes, slice_bytes, __ATOMIC_RELAXED);
}

void heap_segment_set_pause(struct heap_segment *s, uint64_t threshold_ns)
{
	__atomic_store_n(&control_of(s)->pause_ns, threshold_ns, __ATOMIC_RELAXED);
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
