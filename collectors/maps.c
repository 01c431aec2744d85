/* SPDX-License-Identifier: Apache-2.0 */
/* maps.c: reading /proc/PID/maps. */
#include "collectors/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Holds any line: the fixed part and a path of PATH_MAX bytes in which each is written as \012. */
enum { MAPS_BUFFER_BYTES = 32768 };

static const char deleted_suffix[] = " (deleted)";

/* Digits of the base up to `end`, then the byte `stop`. Moves *p behind it. */
static bool take_number(const char **p, const char *end, unsigned base, char stop, uint64_t *out)
{
	const char *s = *p;
	uint64_t v = 0;

	for (; s < end && *s != stop; s++) {
		unsigned c = (unsigned char)*s, d;

		if (c >= '0' && c <= '9')
			d = c - '0';
		else if (c >= 'a' && c <= 'f')
			d = c - 'a' + 10;
		else
			return false;
		if (d >= base || v > (UINT64_MAX - d) / base)
			return false;
		v = v * base + d;
	}
	if (s == end || s == *p)
		return false;
	*p = s + 1;
	*out = v;
	return true;
}

/* The kernel writes a newline in a path as \012. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (!strncmp(s, "\\012", 4)) {
			*to++ = '\n';
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* "start-end perms offset major:minor inode    path"; the byte at end is a NUL. */
static bool parse_line(const char *p, char *end, struct maps_line *l)
{
	uint64_t major, minor;
	size_t n;

	if (!take_number(&p, end, 16, '-', &l->start) || !take_number(&p, end, 16, ' ', &l->end) ||
	    l->end <= l->start || end - p < 5 || p[4] != ' ')
		return false;
	l->exec = p[2] == 'x';
	l->shared = p[3] == 's';
	p += 5;
	if (!take_number(&p, end, 16, ' ', &l->offset) || !take_number(&p, end, 16, ':', &major) ||
	    !take_number(&p, end, 16, ' ', &minor))
		return false;
	l->major = (uint32_t)major;
	l->minor = (uint32_t)minor;
	/* Anonymous memory ends in "0 " or, on some kernels, in "0". */
	*end = ' ';
	if (!take_number(&p, end + 1, 10, ' ', &l->inode))
		return false;
	*end = '\0';
	if (p > end)
		p = end;
	while (*p == ' ')
		p++;
	unescape((char *)p);
	n = strlen(p);
	l->deleted = n >= sizeof(deleted_suffix) - 1 &&
		     !strcmp(p + n - (sizeof(deleted_suffix) - 1), deleted_suffix);
	if (l->deleted)
		((char *)p)[n - (sizeof(deleted_suffix) - 1)] = '\0';
	l->path = p;
	return true;
}

size_t maps_parse(char *text, size_t n, maps_line_fn *fn, void *ctx)
{
	size_t at = 0;

	for (;;) {
		char *line = text + at, *end = memchr(line, '\n', n - at);
		struct maps_line l;

		if (!end)
			return at;
		*end = '\0';
		at += (size_t)(end - line) + 1;
		if (parse_line(line, end, &l))
			fn(ctx, &l);
	}
}

int maps_read(int pid, maps_line_fn *fn, void *ctx)
{
	char path[32], *buf;
	size_t have = 0;
	int fd, err = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	buf = malloc(MAPS_BUFFER_BYTES);
	if (!buf)
		err = -ENOMEM;
	while (!err) {
		ssize_t r = read(fd, buf + have, MAPS_BUFFER_BYTES - have);
		size_t used;

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			err = -errno;
		if (r <= 0)
			break;
		have += (size_t)r;
		used = maps_parse(buf, have, fn, ctx);
		memmove(buf, buf + used, have - used);
		have -= used;
		if (have == MAPS_BUFFER_BYTES)
			err = -E2BIG;
	}
	free(buf);
	close(fd);
	return err;
}
