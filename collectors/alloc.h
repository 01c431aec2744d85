/* SPDX-License-Identifier: Apache-2.0 */
/* alloc.h: the memory allocator of a running process, recognised and read from outside. */
#ifndef PERFTOP_ALLOC_H
#define PERFTOP_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct symbols;

/*
 * The process is neither stopped nor changed: its memory is read by process_vm_readv while it runs
 * on. What is read may be torn, so everything is bounded and checked, and what does not hold
 * together is read again, another way, or not at all. glibc's figures are those of mallinfo2(3),
 * which counts as live what threads keep in their caches (tcache: some 200 KB a thread at most).
 */
enum alloc_kind {
	ALLOC_UNKNOWN,
	ALLOC_GLIBC,
	ALLOC_JEMALLOC,
	ALLOC_TCMALLOC,
	ALLOC_MIMALLOC,
	ALLOC_MUSL,
	ALLOC_GO,
	ALLOC_KINDS
};

struct alloc_stats {
	uint64_t obtained_bytes; /* from the kernel: arenas and mappings of single blocks */
	uint64_t live_bytes;	 /* of them, handed out */
	uint64_t retained_bytes; /* of them, free: obtained - live - metadata */
	uint64_t metadata_bytes; /* of them, for the allocator's own use, where that is told */
	uint64_t mmapped_bytes;	 /* of live, in mappings of their own */
	uint32_t mmaps;
	bool mmapped_known;
	uint32_t arenas;
	uint64_t free_chunks;	   /* pieces that the free memory lies in */
	uint64_t free_small_bytes; /* of retained, in pieces below 4 KiB */
	uint64_t free_top_bytes;   /* of retained, at the arenas' ends */
	uint64_t thread_bytes;	   /* of retained, in threads' caches, where that is told */
	uint64_t trim_bytes; /* whole pages inside of free pieces: most that malloc_trim returns */
	bool free_unknown;   /* the two figures of free pieces are not told */
	uint64_t age_ns;     /* how old the figures of free pieces are: they took several ticks */
	bool partial;  /* not all was looked at: retained is a lower bound, live an upper one */
	double looked; /* the share that was; it becomes 1, unless partial_why says why not */
	const char *partial_why;
};

struct alloc;

struct alloc *alloc_new(pid_t pid, struct symbols *syms); /* NULL without memory */
void alloc_free(struct alloc *a);

enum alloc_kind alloc_kind(const struct alloc *a);
/* "glibc 2.36", "jemalloc (libjemalloc.so.2)", "" while it is not recognised. */
const char *alloc_name(const struct alloc *a);
/* Why there are no statistics; "" when there are. */
const char *alloc_why(const struct alloc *a);

/* Look now which it is, as the first reading would: it takes 10 ms for some. */
void alloc_look(struct alloc *a);

/*
 * Once a tick: look again where libraries came or went, and read, for some budget_ns at most.
 * 0, or -errno with alloc_why(): -ENOTSUP they cannot be read from outside, -EAGAIN this reading
 * did not hold together, -EPERM.
 */
int alloc_read(struct alloc *a, uint64_t now_ns, uint64_t budget_ns, struct alloc_stats *out);

#endif
