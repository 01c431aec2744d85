/* SPDX-License-Identifier: Apache-2.0 */
/* calls_segment.c: the memory in which a process's calls are counted, seen from outside. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "collectors/calls_priv.h"
#include "collectors/clock.h"
#include "collectors/latency.h"
#include "collectors/procfs.h"

/* Without a sign of us for so long the library takes us for dead; a tick may be late. */
#define AWAY_NS	      10000000000ull
#define RATE_LEAST_NS 20000000ull /* between the two readings of both clocks */

/* ---- clocks --------------------------------------------------------------------------------- */

static uint64_t ticks_now(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return 0;
#endif
}

/* Of some readings the one that took least: nothing came between. */
struct calls_moment calls_now(void)
{
	struct calls_moment best = {0};
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = ticks_now(), ns = clock_mono_ns(), after = ticks_now();

		if (after - before >= least)
			continue;
		least = after - before;
		best = (struct calls_moment){.ticks = before + least / 2, .ns = ns};
	}
	return best;
}

int calls_check_clock(char *why, size_t why_size)
{
#ifdef __x86_64__
	unsigned a, b, c, d;

	if (__get_cpuid(0x80000007, &a, &b, &c, &d) && d >> 8 & 1)
		return 0;
	snprintf(why, why_size, "this CPU's time stamp counter does not run evenly");
#else
	snprintf(why, why_size, "timing in the process is there for x86-64 only");
#endif
	return -ENOTSUP;
}

static uint64_t ns_per_tick(const struct calls *c)
{
	struct calls_moment now = calls_now();

	while (now.ns - c->began.ns < RATE_LEAST_NS) {
		const struct timespec wait = {
			.tv_nsec = (long)(RATE_LEAST_NS - (now.ns - c->began.ns))};

		nanosleep(&wait, NULL);
		now = calls_now();
	}
	if (now.ticks <= c->began.ticks)
		return 1ull << 32;
	return (uint64_t)((double)(now.ns - c->began.ns) * 0x1p32 /
			  (double)(now.ticks - c->began.ticks));
}

/* ---- the file ------------------------------------------------------------------------------- */

static int open_file(const struct calls *c)
{
	uint64_t at = c->port.segment;
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", c->pid, c->port.fd);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%llx", c->pid, at,
		 at + CALLS_SEGMENT_BYTES);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd >= 0 ? fd : -errno;
}

/* Memory, as long as it should be, and never shorter. */
static bool is_segment(int fd)
{
	struct statfs fs;
	struct stat st;

	return !fstatfs(fd, &fs) && fs.f_type == TMPFS_MAGIC && !fstat(fd, &st) &&
	       S_ISREG(st.st_mode) && st.st_size == (off_t)CALLS_SEGMENT_BYTES &&
	       fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK;
}

/* One that was killed may stay a zombie until its parent asks. */
static bool is_alive(pid_t pid)
{
	char text[512];
	ssize_t n = procfs_read(pid, "stat", text, sizeof(text));
	const char *name = n > 0 ? strrchr(text, ')') : NULL;

	return name && strncmp(name, ") Z", 3) != 0 && strncmp(name, ") X", 3) != 0;
}

static int check_segment(const struct calls *c, char *why, size_t why_size)
{
	const struct calls_segment *s = c->segment;
	pid_t reader = (pid_t)s->reader;

	if (s->magic != CALLS_MAGIC || s->version != CALLS_VERSION) {
		snprintf(why, why_size, "the library in it is not of this perftop's version");
		return -EPROTO;
	}
	if ((int)s->pid != procfs_own_pid(c->pid)) {
		snprintf(why, why_size,
			 "it was forked from a process whose calls are timed: restart it");
		return -EBUSY;
	}
	if (s->until_ticks > ticks_now() && reader > 0 && reader != getpid() && is_alive(reader)) {
		snprintf(why, why_size, "another perftop (pid %d) times its calls", reader);
		return -EBUSY;
	}
	return 0;
}

int calls_segment_attach(struct calls *c, char *why, size_t why_size)
{
	int fd = open_file(c), err;
	void *p;

	if (fd < 0 || !is_segment(fd)) {
		err = fd < 0 ? fd : -EPROTO;
		snprintf(why, why_size, "its counts are out of reach: %s", strerror(-err));
		if (fd >= 0)
			close(fd);
		return err;
	}
	p = mmap(NULL, CALLS_SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		 0);
	err = p == MAP_FAILED ? -errno : 0;
	if (err)
		snprintf(why, why_size, "no address space for its counts");
	c->segment = err ? NULL : p;
	if (!err)
		err = check_segment(c, why, why_size);
	/* From zero. What a call under way still adds is of another epoch. */
	if (!err) {
		c->segment->epoch++;
		memset(c->segment->used, 0, sizeof(c->segment->used));
		c->segment->untimed = 0;
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)CALLS_SHARDS_OFFSET,
			      (off_t)(CALLS_SEGMENT_BYTES - CALLS_SHARDS_OFFSET)))
			err = -errno;
	}
	close(fd);
	if (err && c->segment)
		calls_segment_detach(c);
	return err;
}

void calls_segment_detach(struct calls *c)
{
	if (c->segment)
		munmap(c->segment, CALLS_SEGMENT_BYTES);
	c->segment = NULL;
}

void calls_segment_begin(struct calls *c)
{
	c->segment->ns_per_tick = ns_per_tick(c);
	c->segment->reader = (uint32_t)getpid();
	c->segment->until_ticks = 0;
	calls_segment_renew(c, 0);
}

bool calls_segment_renew(struct calls *c, uint64_t interval_ns)
{
	struct calls_segment *s = c->segment;
	uint64_t now = ticks_now(), was = s->until_ticks;
	double ns = (double)AWAY_NS + 5 * (double)interval_ns;

	s->until_ticks = now + (uint64_t)(ns * 0x1p32 / ((double)s->ns_per_tick + 1));
	return !was || was > now;
}

/* ---- counts --------------------------------------------------------------------------------- */

static const struct contract_hist *hist_of(const struct calls *c, uint32_t shard, uint32_t stub)
{
	const struct calls_shard *s =
		(const struct calls_shard *)((const char *)c->segment + CALLS_SHARDS_OFFSET) +
		shard;

	if (!(__atomic_load_n(&c->segment->used[shard][stub / 64], __ATOMIC_RELAXED) >>
		      (stub % 64) &
	      1))
		return NULL;
	return &s->hists[stub].h;
}

uint64_t calls_count(const struct calls *c, uint32_t stub)
{
	uint64_t calls = 0;

	for (uint32_t i = 0; c->segment && i < CALLS_SHARDS; i++) {
		const struct contract_hist *h = hist_of(c, i, stub);

		calls += h ? __atomic_load_n(&h->calls, __ATOMIC_RELAXED) : 0;
	}
	return calls;
}

void calls_add_sum(const struct calls *c, uint32_t stub, struct latency_sum *sum)
{
	for (uint32_t i = 0; c->segment && i < CALLS_SHARDS; i++) {
		const struct contract_hist *h = hist_of(c, i, stub);

		if (h)
			latency_sum_add(sum, h);
	}
}

uint64_t calls_untimed(const struct calls *c)
{
	return c->segment ? __atomic_load_n(&c->segment->untimed, __ATOMIC_RELAXED) : 0;
}

void calls_price(const struct calls *c, double *call_ns, double *floor_ns)
{
	double tick_ns = c->segment ? (double)c->segment->ns_per_tick / 0x1p32 : 0;

	*call_ns = c->segment ? (double)c->segment->call_ticks * tick_ns : 0;
	*floor_ns = c->segment ? (double)c->segment->floor_ticks * tick_ns : 0;
}
