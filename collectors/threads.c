/* SPDX-License-Identifier: Apache-2.0 */
/* threads.c: the target's threads as rows, from the eBPF iterator or from /proc. */
#include "collectors/threads.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "collectors/procfs.h"
#include "collectors/target_set.h"

enum { THREADS_FIRST = 64 };

int threads_init(struct threads *t, pid_t pid, struct bpf *b, char *why, size_t why_size)
{
	memset(t, 0, sizeof(*t));
	t->pid = pid;
	t->weight = 1;
	t->iter_fd = b ? bpf_attach_iter(b, "iter_threads", why, why_size) : -1;
	return threads_read(t, false);
}

void threads_fini(struct threads *t)
{
	free(t->now);
	free(t->before);
	memset(t, 0, sizeof(*t));
}

static int reserve(struct threads *t, uint32_t rows)
{
	uint32_t want = t->capacity ? t->capacity : THREADS_FIRST;
	struct contract_thread *p;

	if (rows <= t->capacity)
		return 0;
	while (want < rows)
		want *= 2;
	p = realloc(t->now, want * sizeof(*p));
	if (!p)
		return -ENOMEM;
	t->now = p;
	t->capacity = want;
	return 0;
}

static int read_iterator(struct threads *t)
{
	int fd = bpf_iter_create(t->iter_fd), err = 0;
	size_t have = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n;

		err = reserve(t, (uint32_t)(have / sizeof(*t->now)) + THREADS_FIRST);
		if (err)
			break;
		n = read(fd, (char *)t->now + have, t->capacity * sizeof(*t->now) - have);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	close(fd);
	t->n = (uint32_t)(have / sizeof(*t->now));
	return err;
}

static int compare_tid(const void *a, const void *b)
{
	uint32_t x = ((const struct contract_thread *)a)->tid;
	uint32_t y = ((const struct contract_thread *)b)->tid;

	return x < y ? -1 : x > y;
}

/* As task_struct has it: linux/sched.h. */
static uint32_t state_bits(char letter)
{
	switch (letter) {
	case 'R':
		return 0;
	case 'D':
		return 0x2;
	case 'T':
		return 0x4;
	case 't':
		return 0x8;
	case 'Z':
		return 0x20;
	default:
		return 0x1;
	}
}

static int read_proc_thread(const struct threads *t, uint32_t tid, struct contract_thread *row)
{
	struct procfs_stat st;
	char name[64], buf[1024], *end;
	ssize_t n;

	memset(row, 0, sizeof(*row));
	row->at_ns = clock_mono_ns();
	row->tid = row->ns_tid = tid;
	row->tgid = (uint32_t)t->pid;
	snprintf(name, sizeof(name), "task/%u/stat", tid);
	n = procfs_read(t->pid, name, buf, sizeof(buf));
	if (n < 0 || procfs_parse_stat(buf, &st))
		return -ESRCH;
	snprintf(row->comm, sizeof(row->comm), "%.15s", st.comm);
	row->state = state_bits(st.state);
	snprintf(name, sizeof(name), "task/%u/schedstat", tid);
	n = procfs_read(t->pid, name, buf, sizeof(buf));
	if (n > 0) {
		row->run_ns = strtoull(buf, &end, 10);
		row->run_delay_ns = strtoull(end, NULL, 10);
	} else {
		row->run_ns =
			(st.utime + st.stime) * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
	}
	return 0;
}

static int read_proc(struct threads *t)
{
	char path[32];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", t->pid);
	d = opendir(path);
	if (!d)
		return -errno;
	t->n = 0;
	while ((e = readdir(d))) {
		uint32_t tid = (uint32_t)strtoul(e->d_name, NULL, 10);

		if (!tid)
			continue;
		if (reserve(t, t->n + 1))
			break;
		if (!read_proc_thread(t, tid, &t->now[t->n]))
			t->n++;
	}
	closedir(d);
	return 0;
}

/* What was read last is `before`, and what was before that gives its room. */
static void swap(struct threads *t)
{
	struct threads was = *t;

	t->now = was.before;
	t->n = was.nbefore;
	t->capacity = was.capacity_before;
	t->before = was.now;
	t->nbefore = was.n;
	t->capacity_before = was.capacity;
}

int threads_read(struct threads *t, bool ended)
{
	uint64_t now_ns = t->now_ns, before_ns = t->before_ns;
	uint32_t kept = t->nbefore;
	int err = 0;

	swap(t);
	t->before_ns = t->now_ns;
	t->now_ns = clock_mono_ns();
	t->n = 0;
	if (!ended)
		err = t->iter_fd >= 0 ? read_iterator(t) : read_proc(t);
	t->gone = !t->n;
	if (t->gone) {
		/* The process has exited: the last two readings stay. Nothing was read over them.
		 */
		t->n = kept;
		swap(t);
		t->now_ns = now_ns;
		t->before_ns = before_ns;
		return err == -ENOENT || err == -ESRCH ? 0 : err;
	}
	qsort(t->now, t->n, sizeof(*t->now), compare_tid);
	return err;
}

const struct contract_thread *threads_before(const struct threads *t, uint32_t tid, uint32_t *hint)
{
	while (*hint < t->nbefore && t->before[*hint].tid < tid)
		(*hint)++;
	return *hint < t->nbefore && t->before[*hint].tid == tid ? &t->before[*hint] : NULL;
}

const struct contract_thread *threads_by_ns_tid(const struct threads *t, uint32_t ns_tid)
{
	struct contract_thread key = {.tid = ns_tid};
	struct contract_thread *row =
		t->n ? bsearch(&key, t->now, t->n, sizeof(*t->now), compare_tid) : NULL;

	/* Most often the two are the same. */
	if (row && row->ns_tid == ns_tid)
		return row;
	for (uint32_t i = 0; i < t->n; i++)
		if (t->now[i].ns_tid == ns_tid)
			return &t->now[i];
	return NULL;
}

pid_t threads_pid_of(const struct threads *t, uint32_t tgid)
{
	return t->set ? target_set_pid_of(t->set, tgid) : t->pid;
}

void threads_present_wait(const struct contract_thread *row, uint64_t *blocked, uint64_t *queued)
{
	uint64_t now_ns = row->at_ns;
	uint64_t woken = row->wake_ns > row->off_ns ? row->wake_ns : now_ns;

	*blocked = *queued = 0;
	if (!row->off_ns || now_ns <= row->off_ns)
		return;
	if (row->wait == WAIT_RUNQ) {
		*queued = now_ns - row->off_ns;
		return;
	}
	if (woken > now_ns)
		woken = now_ns;
	*blocked = woken - row->off_ns;
	*queued = now_ns - woken;
}

/* Of the ns that begin at from, those that come after since. */
static uint64_t after(uint64_t since, uint64_t from, uint64_t ns)
{
	if (from >= since)
		return ns;
	return from + ns > since ? from + ns - since : 0;
}

uint64_t threads_counted_wait(const struct threads *t, const struct contract_thread *row,
			      uint64_t *blocked, uint64_t *queued)
{
	uint64_t whole_blocked, whole_queued;

	threads_present_wait(row, &whole_blocked, &whole_queued);
	*blocked = t->weight * after(t->since_ns, row->off_ns, whole_blocked);
	*queued = t->weight * after(t->since_ns, row->off_ns + whole_blocked, whole_queued);
	return whole_blocked;
}
