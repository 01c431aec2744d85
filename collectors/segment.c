/* SPDX-License-Identifier: Apache-2.0 */
/* segment.c: attaches to the counters that a process keeps with libperftop, and checks them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectors/segment_priv.h"

int segment_corrupt(struct segment *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->why, sizeof(s->why), format, args);
	va_end(args);
	return -EBADMSG;
}

int segment_fetch(struct segment *s, uint64_t offset, size_t size)
{
	ssize_t n;

	if (s->in_place)
		return 0;
	if (s->place.fd >= 0) {
		n = pread(s->place.fd, s->base + offset, size, (off_t)offset);
		n = n < 0 ? -errno : n;
	} else {
		n = segment_peek(s->pid, s->place.address + offset, s->base + offset, size);
	}
	if (n == -ESRCH || (n == -EFAULT && !offset)) /* unmapped: it runs another program */
		return -ESRCH;
	if (n != (ssize_t)size)
		return segment_corrupt(s, "it ends %" PRIu64 " bytes after its start",
				       offset + (n > 0 ? (uint64_t)n : 0));
	return 0;
}

/* ---- header ------------------------------------------------------------------------------- */

#define FIELD(f, expected)                                                                         \
	{                                                                                          \
#f, offsetof(struct perftop_segment, f), sizeof(((struct perftop_segment *)0)->f), \
			expected                                                                   \
	}

static const struct {
	const char *name;
	size_t offset, size;
	uint64_t expected;
} fixed_fields[] = {
	FIELD(magic, PERFTOP_SEGMENT_MAGIC),
	FIELD(version, PERFTOP_SEGMENT_VERSION),
	FIELD(header_bytes, sizeof(struct perftop_segment)),
	FIELD(gauges_offset, PERFTOP_GAUGES_OFFSET),
	FIELD(metrics_offset, PERFTOP_METRICS_OFFSET),
	FIELD(shards_offset, PERFTOP_SHARDS_OFFSET),
	FIELD(shared_offset, PERFTOP_SHARED_OFFSET),
	FIELD(bins_offset, PERFTOP_BINS_OFFSET),
	FIELD(metric_bytes, sizeof(struct perftop_metric)),
	FIELD(shard_bytes, PERFTOP_SHARD_BYTES),
	FIELD(bins_bytes, sizeof(struct perftop_bins)),
	FIELD(bucket_count, BUCKET_COUNT),
	FIELD(max_metrics, PERFTOP_MAX_METRICS),
	FIELD(max_shards, PERFTOP_SHARDS),
	FIELD(slots, PERFTOP_SLOTS),
};

/* Copy the header once and judge the copy: the original may change between two looks. */
static int copy_header(struct segment *s, struct perftop_segment *head)
{
	const struct perftop_segment *live = (const struct perftop_segment *)s->base;
	int err = segment_fetch(s, 0, sizeof(*live));

	if (err)
		return err;
	/* bins before metrics: their histograms are then among the metrics. */
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): a failed mmap sets errno */
	memcpy(head, live, sizeof(*head));
	head->bins = __atomic_load_n(&live->bins, __ATOMIC_ACQUIRE);
	head->shared = __atomic_load_n(&live->shared, __ATOMIC_ACQUIRE);
	head->shards = __atomic_load_n(&live->shards, __ATOMIC_ACQUIRE);
	head->metrics = __atomic_load_n(&live->metrics, __ATOMIC_ACQUIRE);
	return 0;
}

static int check_fixed(struct segment *s, const struct perftop_segment *head)
{
	for (size_t i = 0; i < sizeof(fixed_fields) / sizeof(fixed_fields[0]); i++) {
		uint64_t v = 0;

		memcpy(&v, (const char *)head + fixed_fields[i].offset, fixed_fields[i].size);
		if (v != fixed_fields[i].expected)
			return segment_corrupt(s, "its %s is %" PRIu64 ", not %" PRIu64,
					       fixed_fields[i].name, v, fixed_fields[i].expected);
	}
	return 0;
}

static int check_varying(struct segment *s, const struct perftop_segment *head)
{
	if (head->total_bytes != s->bytes)
		return segment_corrupt(s,
				       "its total_bytes is %" PRIu64 ", but it is %" PRIu64
				       " bytes",
				       head->total_bytes, s->bytes);
	if (head->max_bins != s->max_bins)
		return segment_corrupt(s, "its max_bins is %u, not %u", head->max_bins,
				       s->max_bins);
	if (head->start_ns != s->start_ns)
		return segment_corrupt(s, "its start_ns changed");
	if (head->metrics > PERFTOP_MAX_METRICS || head->metrics < s->nmetrics)
		return segment_corrupt(s, "its metrics are %u, after %u", head->metrics,
				       s->nmetrics);
	if (head->shards > PERFTOP_MAX_THREADS || head->shards < s->head.shards)
		return segment_corrupt(s, "its shards are %u, after %u", head->shards,
				       s->head.shards);
	if (head->bins > s->max_bins || head->bins < s->nbins)
		return segment_corrupt(s, "its bins are %u, after %u", head->bins, s->nbins);
	return 0;
}

/*
 * Bins that were handed out have been written to, a page each at least. A header that claims more
 * would have us fill the file with empty pages by reading it.
 */
static int check_resident(struct segment *s, const struct perftop_segment *head)
{
	struct stat st;

	if (s->place.fd < 0) {
		s->resident_bytes = PERFTOP_SHARDS_OFFSET + head->shards * PERFTOP_SHARD_BYTES +
				    head->bins * sizeof(struct perftop_bins);
		return 0;
	}
	if (fstat(s->place.fd, &st))
		return -errno;
	s->resident_bytes = (uint64_t)st.st_blocks * 512;
	if (head->bins > s->resident_bytes / 4096 + PERFTOP_SHARDS)
		return segment_corrupt(s, "it claims %u bins in %" PRIu64 " bytes of memory",
				       head->bins, s->resident_bytes);
	return 0;
}

/* ---- life ----------------------------------------------------------------------------------- */

static int read_all(struct segment *s)
{
	struct perftop_segment head;
	int err = copy_header(s, &head);

	if (!err)
		err = check_fixed(s, &head);
	if (!err)
		err = check_varying(s, &head);
	if (!err)
		err = check_resident(s, &head);
	if (!err)
		err = segment_read_values(s, &head);
	if (err)
		return err;
	s->head = head;
	s->nbins = head.bins;
	return segment_read_hists(s);
}

/* The process has ended, or runs another program than the one that made the segment. */
static int is_gone(struct segment *s)
{
	struct pollfd p = {.fd = s->pidfd, .events = POLLIN};
	struct segment_place now;

	if (s->pidfd < 0)
		return 0;
	if (poll(&p, 1, 0) > 0)
		return 1;
	if (s->place.fd < 0 || segment_still_there(&s->place))
		return 0; /* without a file, fetch will notice */
	/* The descriptor was closed; the mapping may be there. */
	if (segment_find(s->pid, &now))
		return 1;
	if (now.fd >= 0)
		close(now.fd);
	if (now.fd >= 0 && (now.dev != s->place.dev || now.ino != s->place.ino))
		return 1;
	memcpy(s->place.path, now.path, sizeof(now.path));
	return 0;
}

int segment_refresh(struct segment *s)
{
	int gone = is_gone(s);
	int err = read_all(s);

	/* What was counted up to the end is in what we still have open. */
	return gone ? -ESRCH : err;
}

/* Size of the segment as the file or the header says; whether it cannot shrink under a mapping. */
static int measure(struct segment *s)
{
	struct perftop_segment head;
	struct stat st;
	int seals;

	if (s->place.fd < 0) {
		if (segment_peek(s->pid, s->place.address, &head, sizeof(head)) != sizeof(head))
			return -ESRCH;
		s->bytes = head.total_bytes;
	} else {
		seals = fcntl(s->place.fd, F_GET_SEALS);
		s->in_place = seals >= 0 && seals & F_SEAL_SHRINK;
		if (fstat(s->place.fd, &st))
			return -errno;
		s->bytes = (uint64_t)st.st_size;
		memset(&head, 0, sizeof(head));
		if (pread(s->place.fd, &head, sizeof(head), 0) != sizeof(head))
			return segment_corrupt(s, "it is only %" PRIu64 " bytes", s->bytes);
	}
	if (s->bytes < PERFTOP_SEGMENT_MIN_BYTES || s->bytes > UINT32_MAX)
		return segment_corrupt(s, "it is %" PRIu64 " bytes", s->bytes);
	s->max_bins = PERFTOP_MAX_BINS(s->bytes);
	s->start_ns = head.start_ns;
	return 0;
}

static int map_base(struct segment *s)
{
	int flags = s->in_place ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	int prot = s->in_place ? PROT_READ : PROT_READ | PROT_WRITE;

	s->base = mmap(NULL, s->bytes, prot, flags, s->in_place ? s->place.fd : -1, 0);
	if (s->base != MAP_FAILED)
		return 0;
	s->base = NULL;
	return -errno;
}

static int open_place(struct segment *s)
{
	int err = measure(s);

	if (!err)
		err = map_base(s);
	if (err)
		return err;
	s->entries = calloc(PERFTOP_MAX_METRICS, sizeof(*s->entries));
	/* NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI): the least size has bins */
	s->chains = calloc(s->max_bins, sizeof(*s->chains));
	if (!s->entries || !s->chains)
		return -ENOMEM;
	return read_all(s);
}

static void explain(char *why, size_t size, int err, const char *detail)
{
	switch (err) {
	case -EBADMSG:
		snprintf(why, size, "its counters are corrupt: %s", detail);
		break;
	case -ENOENT:
		snprintf(why, size, "it does not use libperftop, or has registered nothing yet");
		break;
	case -EACCES:
		snprintf(why, size, "not allowed to look into this process");
		break;
	case -ESRCH:
		snprintf(why, size, "there is no such process, or it has ended");
		break;
	default:
		snprintf(why, size, "its counters cannot be read: %s", strerror(-err));
	}
}

/* Takes s; gives it back when all is well. */
static struct segment *finish_open(struct segment *s, int err, int *err_out, char *why, size_t size)
{
	if (!err)
		err = open_place(s);
	*err_out = err;
	if (!err)
		return s;
	explain(why, size, err, s->why);
	segment_free(s);
	return NULL;
}

static struct segment *alloc_segment(int *err, char *why, size_t why_size)
{
	struct segment *s = calloc(1, sizeof(*s));

	if (!s) {
		*err = -ENOMEM;
		explain(why, why_size, -ENOMEM, "");
		return NULL;
	}
	s->pidfd = -1;
	s->place.fd = -1;
	return s;
}

struct segment *segment_attach(int pid, int *err, char *why, size_t why_size)
{
	struct segment *s = alloc_segment(err, why, why_size);
	int e;

	if (!s)
		return NULL;
	s->pid = pid;
	s->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	e = s->pidfd < 0 && errno == ESRCH ? -ESRCH : segment_find(pid, &s->place);
	return finish_open(s, e, err, why, why_size);
}

struct segment *segment_open(int fd, int *err, char *why, size_t why_size)
{
	struct segment *s = alloc_segment(err, why, why_size);

	if (!s) {
		close(fd);
		return NULL;
	}
	s->place.fd = fd;
	return finish_open(s, 0, err, why, why_size);
}

void segment_free(struct segment *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; s->entries && i < PERFTOP_MAX_METRICS; i++)
		free(s->entries[i].bins);
	free(s->entries);
	free(s->chains);
	if (s->base)
		munmap(s->base, s->bytes);
	if (s->place.fd >= 0)
		close(s->place.fd);
	if (s->pidfd >= 0)
		close(s->pidfd);
	free(s);
}

const char *segment_why(const struct segment *s)
{
	return s->why;
}

uint32_t segment_count(const struct segment *s)
{
	return s->nmetrics;
}

const struct segment_metric *segment_metric(const struct segment *s, uint32_t i)
{
	return i < s->nmetrics ? &s->entries[i].m : NULL;
}

uint64_t segment_refused_metrics(const struct segment *s)
{
	return s->head.refused_metrics;
}

uint64_t segment_refused_threads(const struct segment *s)
{
	return s->head.refused_threads;
}

uint64_t segment_lost(const struct segment *s)
{
	return s->head.lost;
}

uint32_t segment_threads(const struct segment *s)
{
	return s->head.threads;
}

uint64_t segment_bytes(const struct segment *s)
{
	return s->resident_bytes;
}
