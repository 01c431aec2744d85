/* SPDX-License-Identifier: Apache-2.0 */
/* sampler_perf.c: CPU samples of one's own process by perf_event_open(2), without privilege. */
#include <asm/perf_regs.h>
#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectors/procfs.h"
#include "collectors/sampler_priv.h"

enum {
	/* Data pages a CPU; half of what a user may lock by default, less where that is used up. */
	PERF_RING_PAGES = 64,
	PERF_RING_PAGES_MIN = 16,
	PERF_MAX_EVENTS = 1024, /* file descriptors */
	PERF_SPARE_FDS = 128,	/* left to the rest of perftop, of what the limit allows */
	PERF_STACK_BYTES = 32768,
	PERF_DRAIN_EVENTS = 64, /* CPUs that want to be read, taken note of at once */
};

#if defined(__x86_64__)
#define PERF_REGS                                                                        \
	(1ull << PERF_REG_X86_BX | 1ull << PERF_REG_X86_BP | 1ull << PERF_REG_X86_SP |   \
	 1ull << PERF_REG_X86_IP | 1ull << PERF_REG_X86_R12 | 1ull << PERF_REG_X86_R13 | \
	 1ull << PERF_REG_X86_R14 | 1ull << PERF_REG_X86_R15)
/* DWARF numbers of the registers above, in the order of the mask's bits. */
static const uint8_t dwarf_of[] = {3, 6, 7, 16, 12, 13, 14, 15};
#else
#define PERF_REGS ((1ull << PERF_REG_ARM64_MAX) - 1)
static const uint8_t dwarf_of[PERF_REG_ARM64_MAX] = {0,	 1,  2,	 3,  4,	 5,  6,	 7,  8,	 9,  10,
						     11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
						     22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};
#endif

struct perf_ring {
	struct perf_event_mmap_page *page; /* NULL until the CPU has an event */
	size_t bytes;			   /* of data */
	int fd;				   /* the event that owns the buffer */
};

struct sampler_perf {
	struct sampler base;
	struct perf_ring *rings; /* ncpu */
	uint32_t ncpu;
	uint32_t hz;
	bool children; /* of its threads */
	int *fds;
	uint32_t nfds, max_fds;
	uint32_t left_out; /* threads that no descriptor was left for */
	uint64_t taken, lost;
	char *scratch; /* one record, when it wraps */
};

static int open_thread(const struct sampler_perf *s, pid_t tid, int cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.freq = 1,
		.sample_freq = s->hz,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME |
			       PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER,
		.sample_regs_user = PERF_REGS,
		.sample_stack_user = PERF_STACK_BYTES,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.inherit = 1, /* threads that come later */
		.inherit_thread = !s->children,
	};
	long fd = syscall(SYS_perf_event_open, &attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	/* Before Linux 5.13 children cannot be left out: their samples are told by their pid. */
	if (fd < 0 && errno == EINVAL && attr.inherit_thread) {
		attr.inherit_thread = 0;
		fd = syscall(SYS_perf_event_open, &attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	}
	return fd < 0 ? -errno : (int)fd;
}

static int map_ring(struct perf_ring *r, int fd)
{
	void *p = MAP_FAILED;
	size_t pages;

	for (pages = PERF_RING_PAGES; pages >= PERF_RING_PAGES_MIN; pages /= 2) {
		p = mmap(NULL, (pages + 1) * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p != MAP_FAILED || errno != EPERM)
			break;
	}
	if (p == MAP_FAILED)
		return -errno;
	*r = (struct perf_ring){.page = p, .bytes = pages * 4096, .fd = fd};
	return 0;
}

/*
 * The first event of a CPU owns its buffer, the others write into it. Once it is half full it wants
 * to be read. Edge-triggered: of a thread that has ended the event would be ready for ever.
 */
static int join_ring(struct sampler_perf *s, uint32_t cpu, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	struct perf_ring *r = &s->rings[cpu];
	int err;

	if (r->page)
		return ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, r->fd) ? -errno : 0;
	err = map_ring(r, fd);
	if (!err && epoll_ctl(s->base.fd, EPOLL_CTL_ADD, fd, &ev))
		err = -errno;
	return err;
}

static int add_thread(struct sampler_perf *s, pid_t tid)
{
	int err = -ENODEV;

	if (s->nfds + s->ncpu > s->max_fds) {
		s->left_out++;
		return -EMFILE;
	}
	for (uint32_t cpu = 0; cpu < s->ncpu; cpu++) {
		int fd;

		fd = open_thread(s, tid, (int)cpu);
		if (fd < 0) {
			err = fd;
			continue;
		}
		err = join_ring(s, cpu, fd);
		if (err) {
			close(fd);
			return err;
		}
		s->fds[s->nfds++] = fd;
	}
	return s->nfds ? 0 : err;
}

/* Without this, every other file that perftop opens would fail. */
static uint32_t descriptors_left(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) || lim.rlim_cur >= PERF_MAX_EVENTS + PERF_SPARE_FDS)
		return PERF_MAX_EVENTS;
	return lim.rlim_cur > PERF_SPARE_FDS ? (uint32_t)lim.rlim_cur - PERF_SPARE_FDS : 0;
}

static int add_threads(struct sampler_perf *s, pid_t pid)
{
	char path[32];
	struct dirent *e;
	int err = -ESRCH;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);

		if (tid > 0)
			err = add_thread(s, tid);
		if (err && err != -ESRCH && err != -ENODEV && err != -EMFILE)
			break;
	}
	if (d)
		closedir(d);
	return s->nfds ? 0 : err;
}

static void perf_free(struct sampler *base)
{
	struct sampler_perf *s = (struct sampler_perf *)base;

	for (uint32_t i = 0; s->rings && i < s->ncpu; i++)
		if (s->rings[i].page)
			munmap(s->rings[i].page, s->rings[i].bytes + 4096);
	for (uint32_t i = 0; s->fds && i < s->nfds; i++)
		close(s->fds[i]);
	if (s->base.fd >= 0)
		close(s->base.fd);
	free(s->rings);
	free(s->fds);
	free(s->scratch);
	free(s);
}

struct perf_sample_head {
	struct perf_event_header header;
	uint64_t ip;
	uint32_t pid, tid;
	uint64_t time, abi;
};

static void on_record(struct sampler_perf *s, const char *rec, size_t size, sampler_fn *fn,
		      void *arg)
{
	const struct perf_sample_head *h = (const void *)rec;
	size_t nregs = sizeof(dwarf_of), at = sizeof(*h);
	struct sampler_sample out;
	uint64_t bytes, dynamic;

	if (h->header.type == PERF_RECORD_LOST && size >= sizeof(h->header) + 16) {
		memcpy(&bytes, rec + sizeof(h->header) + 8, sizeof(bytes));
		s->lost += bytes;
		return;
	}
	/* abi 0: a kernel thread's moment, no user registers follow. */
	if (h->header.type != PERF_RECORD_SAMPLE || size < at + 8 * nregs + 8 || !h->abi)
		return;
	memset(&out, 0, sizeof(out));
	out.pid = h->pid;
	out.tid = h->tid;
	out.parent = 0;
	for (size_t i = 0; i < nregs; i++)
		memcpy(&out.regs.r[dwarf_of[i]], rec + at + 8 * i, 8);
	at += 8 * nregs;
	memcpy(&bytes, rec + at, 8);
	at += 8;
	if (bytes && bytes <= size - at && size - at - bytes >= 8) {
		/* Only the first `dynamic` bytes hold stack. */
		memcpy(&dynamic, rec + at + bytes, 8);
		out.slice = rec + at;
		out.slice_bytes = dynamic < bytes ? dynamic : bytes;
	}
	s->taken++;
	fn(arg, &out);
}

static void drain_ring(struct sampler_perf *s, const struct perf_ring *r, sampler_fn *fn, void *arg)
{
	struct perf_event_mmap_page *page = r->page;
	const size_t ring_bytes = r->bytes;
	const char *data = (const char *)page + 4096;
	/* Acquire: the records up to head are written. */
	uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = page->data_tail;

	while (tail < head) {
		const struct perf_event_header *h = (const void *)(data + tail % ring_bytes);
		size_t at = tail % ring_bytes, size = h->size, first;
		const char *rec = data + at;

		if (size < sizeof(*h) || size > head - tail)
			break;
		if (at + size > ring_bytes) {
			first = ring_bytes - at;
			memcpy(s->scratch, rec, first);
			memcpy(s->scratch + first, data, size - first);
			rec = s->scratch;
		}
		on_record(s, rec, size, fn, arg);
		tail += size;
	}
	/* Release: we are done with what lies before. */
	__atomic_store_n(&page->data_tail, head, __ATOMIC_RELEASE);
}

static void perf_drain(struct sampler *base, sampler_fn *fn, void *arg)
{
	struct sampler_perf *s = (struct sampler_perf *)base;
	struct epoll_event ready[PERF_DRAIN_EVENTS];

	/* All are read; this is so that they are not said to be ready any more. */
	while (epoll_wait(base->fd, ready, PERF_DRAIN_EVENTS, 0) == PERF_DRAIN_EVENTS)
		;
	for (uint32_t i = 0; i < s->ncpu; i++)
		if (s->rings[i].page)
			drain_ring(s, &s->rings[i], fn, arg);
}

static uint64_t perf_lost(const struct sampler *base)
{
	return ((const struct sampler_perf *)base)->lost;
}

static uint64_t perf_taken(const struct sampler *base)
{
	return ((const struct sampler_perf *)base)->taken;
}

static int perf_add(struct sampler *base, pid_t pid)
{
	return add_threads((struct sampler_perf *)base, pid);
}

struct sampler *sampler_new_perf(pid_t pid, uint32_t hz, bool children, char *why, size_t why_size)
{
	struct sampler_perf *s = calloc(1, sizeof(*s));
	int err = -ENOMEM;

	if (!s)
		return NULL;
	s->base = (struct sampler){.free = perf_free,
				   .drain = perf_drain,
				   .lost = perf_lost,
				   .taken = perf_taken,
				   .add = perf_add,
				   .fd = epoll_create1(EPOLL_CLOEXEC)};
	s->hz = hz;
	s->children = children;
	s->ncpu = procfs_cpu_ids();
	s->max_fds = descriptors_left();
	s->rings = calloc(s->ncpu, sizeof(*s->rings));
	s->fds = calloc(PERF_MAX_EVENTS, sizeof(*s->fds));
	s->scratch = malloc(UINT16_MAX + 1);
	if (s->base.fd >= 0 && s->rings && s->fds && s->scratch)
		err = add_threads(s, pid);
	if (!err) {
		why[0] = '\0';
		if (s->left_out)
			snprintf(why, why_size, "; %u threads are not sampled: too many open files",
				 s->left_out);
		return &s->base;
	}
	perf_free(&s->base);
	if (err == -EACCES || err == -EPERM)
		snprintf(why, why_size,
			 "no permission to sample pid %d (another user's, or "
			 "/proc/sys/kernel/perf_event_paranoid is above 2)",
			 pid);
	else
		snprintf(why, why_size, "perf_event_open: %s", strerror(-err));
	return NULL;
}
