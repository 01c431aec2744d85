/* SPDX-License-Identifier: Apache-2.0 */
/* symbols_jit.c: functions that a JIT compiler lists in /tmp/perf-PID.map. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/symbols_priv.h"

/* Names stay in the file, so an entry costs 16 bytes. */
enum {
	JIT_MAX_ENTRIES = 400000,
	JIT_READ_BYTES = 65536,
	JIT_MAX_PER_REFRESH = 8 << 20,
	JIT_MAX_FILE_BYTES = 256 << 20,
};

void jit_init(struct jit *j)
{
	memset(j, 0, sizeof(*j));
	j->fd = -1;
}

void jit_fini(struct jit *j)
{
	if (j->fd >= 0)
		close(j->fd);
	free(j->v);
	jit_init(j);
}

/* Effective user and the pid in the target's own namespace, from /proc/PID/status. */
static int target_identity(int pid, unsigned *uid, int *nspid)
{
	char path[32], line[256];
	FILE *f;
	int got = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Uid: %*u %u", uid) == 1)
			got = 1;
		if (!strncmp(line, "NSpid:", 6)) {
			const char *last = strrchr(line, '\t');

			*nspid = last ? atoi(last + 1) : pid;
		}
	}
	fclose(f);
	return got ? 0 : -ENOENT;
}

/* Anyone can write to /tmp: the file counts only when it belongs to the target's user. */
static int jit_open(int pid, struct stat *st)
{
	char path[64];
	unsigned uid = 0;
	int nspid = pid, fd;

	if (target_identity(pid, &uid, &nspid))
		return -1;
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", nspid);
	fd = files_open_in_root(pid, path);
	if (fd >= 0 && (fstat(fd, st) || !S_ISREG(st->st_mode) || st->st_uid != uid)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* "START SIZE name": hexadecimal. at is the line's place in the file. */
static void jit_add_line(struct jit *j, const char *line, uint64_t at)
{
	char *p;
	struct jit_entry e;
	unsigned long long start, size;

	start = strtoull(line, &p, 16);
	if (p == line || *p != ' ')
		return;
	line = p + 1;
	size = strtoull(line, &p, 16);
	if (p == line || *p != ' ' || !size || size > UINT32_MAX || !p[1])
		return;
	if (j->n == JIT_MAX_ENTRIES)
		return;
	if (j->n == j->cap) {
		uint32_t cap = j->cap ? j->cap * 2 : 1024;
		struct jit_entry *v = realloc(j->v, cap * sizeof(*v));

		if (!v)
			return;
		j->v = v;
		j->cap = cap;
	}
	e.start = start;
	e.size = (uint32_t)size;
	e.name = (uint32_t)at;
	j->v[j->n++] = e;
}

static int jit_compare(const void *x, const void *y)
{
	const struct jit_entry *a = x, *b = y;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->name < b->name ? -1 : a->name > b->name;
}

/* Read on from j->parsed; the last line stays for the next time unless it is whole. */
static void jit_parse(struct jit *j, char *buf)
{
	for (uint64_t total = 0; total < JIT_MAX_PER_REFRESH;) {
		ssize_t r = pread(j->fd, buf, JIT_READ_BYTES, (off_t)j->parsed);
		char *line = buf, *end;

		if (r <= 0 || j->parsed + (uint64_t)r > JIT_MAX_FILE_BYTES)
			return;
		while ((end = memchr(line, '\n', (size_t)(buf + r - line)))) {
			*end = '\0';
			jit_add_line(j, line, j->parsed + (uint64_t)(line - buf));
			line = end + 1;
		}
		/* A line longer than the buffer is skipped. */
		if (line == buf && r == JIT_READ_BYTES)
			line = buf + r;
		if (line == buf)
			return;
		j->parsed += (uint64_t)(line - buf);
		total += (uint64_t)(line - buf);
	}
}

bool jit_refresh(struct jit *j, int pid)
{
	uint32_t before;
	struct stat st;
	char *buf;
	int fd = jit_open(pid, &st);

	if (fd < 0)
		return false;
	if (j->fd < 0 || j->inode != st.st_ino || (uint64_t)st.st_size < j->parsed) {
		jit_fini(j);
		j->fd = fd;
		j->inode = st.st_ino;
	} else {
		close(fd);
	}
	before = j->n;
	buf = (uint64_t)st.st_size > j->parsed ? malloc(JIT_READ_BYTES) : NULL;
	if (buf)
		jit_parse(j, buf);
	free(buf);
	if (j->n != before)
		qsort(j->v, j->n, sizeof(*j->v), jit_compare);
	return j->n != before;
}

const struct jit_entry *jit_find(const struct jit *j, uint64_t addr)
{
	const struct jit_entry *best = NULL;
	uint32_t lo = 0, hi = j->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (j->v[mid].start <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* Code is moved and its place used again: of those that hold addr, the last written. */
	for (uint32_t i = lo, tries = 0; i > 0 && tries < 64; i--, tries++) {
		const struct jit_entry *e = &j->v[i - 1];

		if (addr - e->start < e->size && (!best || e->name > best->name))
			best = e;
	}
	return best;
}

void jit_name(const struct jit *j, const struct jit_entry *e, char *buf, size_t size)
{
	char line[NAME_BYTES + 40], *p;
	ssize_t r = pread(j->fd, line, sizeof(line) - 1, e->name);

	snprintf(buf, size, "[unknown]");
	if (r <= 0)
		return;
	line[r] = '\0';
	p = strchr(line, ' ');
	p = p ? strchr(p + 1, ' ') : NULL;
	if (!p)
		return;
	p[1 + strcspn(p + 1, "\n")] = '\0';
	snprintf(buf, size, "%s", p + 1);
}
