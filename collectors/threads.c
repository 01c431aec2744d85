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

enum { THREADS_FIRST = 64 };

int threads_init(struct threads *t, pid_t pid, struct bpf *b, char *why, size_t why_size)
{
	memset(t, 0, sizeof(*t));
	t->pid = pid;
	t->iter_fd = b ? bpf_attach_iter(b, "iter_threads", why, why_size) : -1;
	return threads_read(t);
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

static int read_proc_thread(const struct threads *t, uint32_t tid, struct contract_thread *row)
{
	struct procfs_stat st;
	char name[64], buf[1024], *end;
	ssize_t n;

	memset(row, 0, sizeof(*row));
	row->tid = tid;
	snprintf(name, sizeof(name), "task/%u/stat", tid);
	n = procfs_read(t->pid, name, buf, sizeof(buf));
	if (n < 0 || procfs_parse_stat(buf, &st))
		return -ESRCH;
	snprintf(row->comm, sizeof(row->comm), "%.15s", st.comm);
	row->state = st.state == 'R' ? 0 : st.state == 'D' ? 2 : st.state == 'T' ? 4 : 1;
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

int threads_read(struct threads *t)
{
	struct contract_thread *rows = t->before;
	uint32_t capacity = t->capacity_before;
	int err;

	t->before = t->now;
	t->nbefore = t->n;
	t->capacity_before = t->capacity;
	t->before_ns = t->now_ns;
	t->now = rows;
	t->capacity = capacity;
	t->n = 0;
	t->now_ns = clock_mono_ns();
	err = t->iter_fd >= 0 ? read_iterator(t) : read_proc(t);
	if (err == -ENOENT || err == -ESRCH)
		err = 0;
	if (!t->n && t->nbefore && !reserve(t, t->nbefore)) {
		/* The process is gone: its threads stay as they were seen last. */
		memcpy(t->now, t->before, t->nbefore * sizeof(*t->now));
		t->n = t->nbefore;
		/* The waits they were in have ended, and are counted as such. */
		for (uint32_t i = 0; i < t->n; i++)
			t->now[i].off_ns = 0;
		return 0;
	}
	if (t->n)
		qsort(t->now, t->n, sizeof(*t->now), compare_tid);
	return err;
}

const struct contract_thread *threads_before(const struct threads *t, uint32_t tid, uint32_t *hint)
{
	while (*hint < t->nbefore && t->before[*hint].tid < tid)
		(*hint)++;
	return *hint < t->nbefore && t->before[*hint].tid == tid ? &t->before[*hint] : NULL;
}

bool threads_has(const struct threads *t, uint32_t tid)
{
	struct contract_thread key = {.tid = tid};

	return t->n && bsearch(&key, t->now, t->n, sizeof(*t->now), compare_tid);
}
