/* SPDX-License-Identifier: Apache-2.0 */
/* perftop_map.c: makes the process's segment, and a new one in a forked child. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <fcntl.h>

#include "probes/perftop_inner.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3; may be demanded by vm.memfd_noexec */
#endif

_Static_assert(sizeof(struct perftop_metric) == 256, "part of the layout");
_Static_assert(sizeof(struct perftop_bins) == 64 + 8 * BUCKET_COUNT, "part of the layout");
_Static_assert(sizeof(struct perftop_segment) <= PERFTOP_GAUGES_OFFSET, "the header fits");
_Static_assert(PERFTOP_BINS_OFFSET < PERFTOP_SEGMENT_MIN_BYTES, "the smallest has bins");

static struct inner *state;

/*
 * What the process has mapped, kept where a fork copies it: the child finds its parent's metrics
 * by it. Written under the lock.
 */
static struct {
	struct perftop_segment *segment;
	uint64_t bytes, epoch;
	int fd;
	dev_t dev;
	ino_t ino;
} mapped = {.fd = -1};

static void forget_in_child(void)
{
	memset(state, 0, sizeof(*state));
}

struct inner *inner_get(void)
{
	struct inner *in = __atomic_load_n(&state, __ATOMIC_ACQUIRE);
	struct inner *none = NULL;

	if (in)
		return in;
	in = mmap(NULL, sizeof(*in), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (in == MAP_FAILED)
		return NULL;
	if (!__atomic_compare_exchange_n(&state, &none, in, 0, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		munmap(in, sizeof(*in));
		return none;
	}
	if (madvise(in, sizeof(*in), MADV_WIPEONFORK))
		pthread_atfork(NULL, NULL, forget_in_child); /* before Linux 4.14 */
	return in;
}

/* A sealed memfd of that many bytes, or -1. */
static int open_memfd(uint64_t bytes)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct rlimit limit;
	int fd, up;

	/* Growing a file past the limit would kill the program by SIGXFSZ. */
	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur < bytes)
		return -1;
	fd = memfd_create(PERFTOP_SEGMENT_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(PERFTOP_SEGMENT_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd >= 0 && fd < 3) { /* a program started without stdio would write into it */
		up = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		syscall(SYS_close, fd);
		fd = up;
	}
	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)bytes) || fcntl(fd, F_ADD_SEALS, seals)) {
		syscall(SYS_close, fd);
		return -1;
	}
	return fd;
}

/* Map without ever making it resident: a program under mlockall() would pay for all of it. */
static void *map_lazily(int fd, uint64_t bytes)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *p = mmap(NULL, bytes, PROT_NONE, flags | MAP_NORESERVE, fd, 0);

	if (p == MAP_FAILED)
		return NULL;
	munlock(p, bytes);
	if (mprotect(p, bytes, PROT_READ | PROT_WRITE)) {
		munmap(p, bytes);
		return NULL;
	}
	madvise(p, bytes, MADV_NOHUGEPAGE);
	madvise(p, bytes, MADV_DONTDUMP);
	return p;
}

/*
 * Where nothing can be shared, private memory of the same shape takes the counts. Tries smaller
 * ones under a limit on file sizes or address space.
 */
static struct perftop_segment *map_new(uint64_t *bytes, int *fd)
{
	struct perftop_segment *seg = NULL;

	for (*bytes = PERFTOP_SEGMENT_BYTES; *bytes >= PERFTOP_SEGMENT_MIN_BYTES; *bytes /= 2) {
		*fd = open_memfd(*bytes);
		if (*fd < 0)
			continue;
		seg = map_lazily(*fd, *bytes);
		if (seg)
			return seg;
		syscall(SYS_close, *fd);
	}
	*fd = -1;
	*bytes = PERFTOP_SEGMENT_MIN_BYTES;
	return map_lazily(-1, *bytes);
}

static void write_header(struct perftop_segment *seg, uint64_t bytes)
{
	seg->version = PERFTOP_SEGMENT_VERSION;
	seg->header_bytes = sizeof(*seg);
	seg->total_bytes = bytes;
	seg->gauges_offset = PERFTOP_GAUGES_OFFSET;
	seg->metrics_offset = PERFTOP_METRICS_OFFSET;
	seg->shards_offset = PERFTOP_SHARDS_OFFSET;
	seg->shared_offset = PERFTOP_SHARED_OFFSET;
	seg->bins_offset = PERFTOP_BINS_OFFSET;
	seg->metric_bytes = sizeof(struct perftop_metric);
	seg->shard_bytes = PERFTOP_SHARD_BYTES;
	seg->bins_bytes = sizeof(struct perftop_bins);
	seg->bucket_count = BUCKET_COUNT;
	seg->max_metrics = PERFTOP_MAX_METRICS;
	seg->max_shards = PERFTOP_SHARDS;
	seg->max_bins = PERFTOP_MAX_BINS(bytes);
	seg->slots = PERFTOP_SLOTS;
	seg->pid = (uint32_t)getpid();
	seg->start_ns = perftop_now_ns();
}

/* In a forked child: the parent's metrics keep their slots, since handles are out there. */
static void inherit_metrics(struct perftop_segment *seg, struct perftop_segment *old)
{
	uint32_t n = __atomic_load_n(&old->metrics, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < n; i++) {
		*inner_metric(seg, i) = *inner_metric(old, i);
		inner_metric(seg, i)->shared = 0;
	}
	seg->metrics = n;
}

/*
 * In a forked child: let go of the parent's segment, so that it goes with the parent. The range
 * stays mapped, privately: an update that a signal cut short, whose handler forked, ends there.
 */
static void drop_parent(void)
{
	struct stat st;

	if (mmap(mapped.segment, mapped.bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return;
	/* The program may have closed it and reused the number. */
	if (mapped.fd >= 0 && !fstat(mapped.fd, &st) && st.st_dev == mapped.dev &&
	    st.st_ino == mapped.ino)
		syscall(SYS_close, mapped.fd);
}

struct perftop_segment *inner_make_segment(struct inner *in)
{
	struct perftop_segment *seg;
	struct stat st;
	uint64_t bytes;
	int fd;

	seg = map_new(&bytes, &fd);
	if (!seg) {
		__atomic_store_n(&in->failed, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	write_header(seg, bytes);
	if (mapped.segment) {
		inherit_metrics(seg, mapped.segment);
		drop_parent();
	}
	memset(&st, 0, sizeof(st));
	if (fd >= 0)
		fstat(fd, &st);
	mapped.segment = seg;
	mapped.bytes = bytes;
	mapped.fd = fd;
	mapped.dev = st.st_dev;
	mapped.ino = st.st_ino;
	in->epoch = ++mapped.epoch;
	seg->lost = in->lost;
	/* A reader that sees the magic sees the header. */
	__atomic_store_n(&seg->magic, PERFTOP_SEGMENT_MAGIC, __ATOMIC_RELEASE);
	__atomic_store_n(&in->segment, seg, __ATOMIC_RELEASE);
	return seg;
}

struct perftop_segment *inner_segment(struct inner *in)
{
	struct perftop_segment *seg = __atomic_load_n(&in->segment, __ATOMIC_ACQUIRE);

	if (seg || __atomic_load_n(&in->failed, __ATOMIC_RELAXED))
		return seg;
	pthread_mutex_lock(&in->lock);
	seg = in->segment;
	if (!seg && !in->failed)
		seg = inner_make_segment(in);
	pthread_mutex_unlock(&in->lock);
	return seg;
}
