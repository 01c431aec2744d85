/* SPDX-License-Identifier: Apache-2.0 */
/* durable.c: a checked header, a temporary file, and a rename. */
#include "kernels/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct durable_header {
	char magic[8];
	char kind[8];
	uint32_t version, zero;
	uint64_t bytes;
	uint64_t checksum; /* of what follows the header */
	uint64_t spare[2];
	uint64_t own; /* checksum of the fields above */
};
_Static_assert(sizeof(struct durable_header) == DURABLE_HEADER_BYTES, "the file's format");

static const char durable_magic[8] = {'p', 'e', 'r', 'f', 't', 'o', 'p', 1};

static uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

static void add_block(struct durable_sum *s, const unsigned char *p)
{
	uint64_t word;

	for (int l = 0; l < 4; l++) {
		memcpy(&word, p + 8 * l, 8);
		s->lane[l] = mix(s->lane[l], word);
	}
}

void durable_sum_init(struct durable_sum *s)
{
	memset(s, 0, sizeof(*s));
	for (int l = 0; l < 4; l++)
		s->lane[l] = (uint64_t)l + 1;
}

void durable_sum_add(struct durable_sum *s, const void *data, size_t size)
{
	const unsigned char *p = data;
	size_t have = s->bytes % 32, n;

	s->bytes += size;
	if (have) {
		n = size < 32 - have ? size : 32 - have;
		memcpy(s->rest + have, p, n);
		if (have + n < 32)
			return;
		add_block(s, s->rest);
		p += n;
		size -= n;
	}
	for (; size >= 32; size -= 32, p += 32)
		add_block(s, p);
	if (size)
		memcpy(s->rest, p, size);
}

uint64_t durable_sum_end(struct durable_sum *s)
{
	size_t have = s->bytes % 32;
	uint64_t h = s->bytes;

	memset(s->rest + have, 0, 32 - have);
	add_block(s, s->rest);
	for (int l = 0; l < 4; l++)
		h = mix(h, s->lane[l]);
	return h;
}

static uint64_t header_sum(const struct durable_header *h)
{
	struct durable_sum s;

	durable_sum_init(&s);
	durable_sum_add(&s, h, offsetof(struct durable_header, own));
	return durable_sum_end(&s);
}

static int write_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

/* The name's place in its folder is on the disk too once the folder is synced. */
static int sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX] = ".";
	int fd, err = 0;

	if (slash)
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path + 1), path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Some file systems do not sync folders: then there is nothing more to ask for. */
	if (fsync(fd) && errno != EINVAL && errno != EROFS)
		err = -errno;
	close(fd);
	return err;
}

static int write_file(int fd, const struct durable_header *h, const struct iovec *parts,
		      uint32_t nparts)
{
	int err = write_all(fd, h, sizeof(*h));

	for (uint32_t i = 0; i < nparts && !err; i++)
		err = write_all(fd, parts[i].iov_base, parts[i].iov_len);
	if (!err && fsync(fd))
		err = -errno;
	return err;
}

static void header_fill(struct durable_header *h, const char *kind, uint32_t version,
			const struct iovec *parts, uint32_t nparts)
{
	struct durable_sum sum;

	memset(h, 0, sizeof(*h));
	memcpy(h->magic, durable_magic, sizeof(h->magic));
	memcpy(h->kind, kind, strnlen(kind, sizeof(h->kind)));
	h->version = version;
	durable_sum_init(&sum);
	for (uint32_t i = 0; i < nparts; i++) {
		h->bytes += parts[i].iov_len;
		durable_sum_add(&sum, parts[i].iov_base, parts[i].iov_len);
	}
	h->checksum = durable_sum_end(&sum);
	h->own = header_sum(h);
}

int durable_save(const char *path, const char *kind, uint32_t version, const struct iovec *parts,
		 uint32_t nparts)
{
	struct durable_header h;
	char temporary[PATH_MAX];
	int fd, err;

	if (!path || !kind || (!parts && nparts))
		return -EINVAL;
	if (snprintf(temporary, sizeof(temporary), "%s.tmp", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	header_fill(&h, kind, version, parts, nparts);
	err = write_file(fd, &h, parts, nparts);
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(temporary, path))
		err = -errno;
	if (err) {
		unlink(temporary);
		return err;
	}
	return sync_folder(path);
}

static int read_all(int fd, void *data, size_t size)
{
	char *p = data;

	while (size) {
		ssize_t n = read(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EBADMSG; /* shorter than its header says */
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

static int header_check(const struct durable_header *h, const char *kind, uint32_t version,
			uint64_t file_bytes, size_t max_bytes)
{
	char want[8] = {0};

	memcpy(want, kind, strnlen(kind, sizeof(want)));
	if (memcmp(h->magic, durable_magic, sizeof(h->magic)) != 0 || h->own != header_sum(h) ||
	    memcmp(h->kind, want, sizeof(want)) != 0)
		return -EBADMSG;
	if (h->version != version)
		return -EPROTO;
	if (file_bytes < sizeof(*h) || h->bytes != file_bytes - sizeof(*h))
		return -EBADMSG;
	return h->bytes <= max_bytes ? 0 : -EFBIG;
}

static int read_checked(int fd, const struct durable_header *h, void **data)
{
	struct durable_sum sum;
	void *p = aligned_alloc(64, ((size_t)h->bytes + 64) / 64 * 64);
	int err;

	if (!p)
		return -ENOMEM;
	err = read_all(fd, p, (size_t)h->bytes);
	if (!err) {
		durable_sum_init(&sum);
		durable_sum_add(&sum, p, (size_t)h->bytes);
		if (durable_sum_end(&sum) != h->checksum)
			err = -EBADMSG;
	}
	if (err)
		free(p);
	else
		*data = p;
	return err;
}

int durable_load(const char *path, const char *kind, uint32_t version, size_t max_bytes,
		 void **data, size_t *size)
{
	struct durable_header h;
	struct stat st;
	int fd, err = 0;

	if (!path || !kind || !data || !size)
		return -EINVAL;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for a writer */
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EBADMSG;
	if (!err)
		err = read_all(fd, &h, sizeof(h));
	if (!err)
		err = header_check(&h, kind, version, (uint64_t)st.st_size, max_bytes);
	if (!err)
		err = read_checked(fd, &h, data);
	if (!err)
		*size = (size_t)h.bytes;
	close(fd);
	return err;
}
