/* SPDX-License-Identifier: Apache-2.0 */
/* durable.h: files of learned state that are whole or not there, and are checked when read. */
#ifndef KERNELS_DURABLE_H
#define KERNELS_DURABLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * A header of 64 bytes (what it is, version, length, checksum of the rest and of itself), then the
 * caller's bytes. Written to PATH.tmp beside it, synced, renamed over PATH, and the folder synced:
 * after a crash PATH is the old file or the new one.
 */
enum { DURABLE_HEADER_BYTES = 64 };

/* parts are written one after another. kind is 8 characters at most. 0 or -errno. */
int durable_save(const char *path, const char *kind, uint32_t version, const struct iovec *parts,
		 uint32_t nparts);

/*
 * The caller's bytes in *data, 64-byte aligned, to be given to free(); *size of them. -EBADMSG for
 * a file that is damaged or of another kind, -EPROTO for another version, -EFBIG beyond max_bytes,
 * -ENOENT and the like from the file system.
 */
int durable_load(const char *path, const char *kind, uint32_t version, size_t max_bytes,
		 void **data, size_t *size);

/*
 * 64 bits that tell damage, not malice: a multiplication and a shift for 8 bytes, in four lanes.
 * Pieces give the same as the whole.
 */
struct durable_sum {
	uint64_t lane[4], bytes;
	unsigned char rest[32];
};
void durable_sum_init(struct durable_sum *s);
void durable_sum_add(struct durable_sum *s, const void *data, size_t size);
uint64_t durable_sum_end(struct durable_sum *s);

#endif
