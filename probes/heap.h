/* SPDX-License-Identifier: Apache-2.0 */
/* heap.h: layout of the shared segment that libperftop_heap.so keeps about a program's heap. */
#ifndef PERFTOP_HEAP_H
#define PERFTOP_HEAP_H

#include <stdint.h>

#include "probes/bucket.h"

/*
 * One memfd named "perftop-heap" a process, sealed against resizing, found through /proc/PID/fd:
 *
 *	header, control, state | pause histogram | shards, the last shared | table | infos | ring
 *
 * Offsets and sizes are fixed by the version and repeated in the header, so that a reader of
 * another build notices. Sizes are what the allocator gave (malloc_usable_size), so that a free
 * takes off exactly what its malloc added. A shard has one writer, plain stores and no locks; it
 * outlives its thread and is handed to another with its counts in it. So the sum over all shards,
 * taken at any moment, never counts anything twice, and at rest it is exact.
 *
 * An allocation is sampled with probability 1 - exp(-bytes / mean): a Poisson process over bytes.
 * Each sample stands for 1 / (1 - exp(-bytes / mean)) allocations like it, whatever the mean was
 * at the time, so sums of such weights are unbiased. It has a place in the table while it lives,
 * and goes through the ring with registers and a slice of the stack; its free goes through the
 * ring as a record of its own. What the ring had no room for is counted, and the table still
 * tells which samples live.
 *
 * Preloaded by hand: LD_PRELOAD=libperftop_heap.so, with PERFTOP_HEAP_MEAN=BYTES for another mean
 * from the start, and PERFTOP_HEAP_SEED=N for the same samples each time.
 */
#define HEAP_SEGMENT_NAME    "perftop-heap"
#define HEAP_SEGMENT_MAGIC   0x3150414548465250ull /* "PRFHEAP1", little-endian; written last */
#define HEAP_SEGMENT_VERSION 5u

enum {
	HEAP_CLASSES = 192,
	HEAP_CLASSES_EXACT = 65, /* see heap_class_is_exact() */
	HEAP_THREADS = 8192,
	HEAP_SHARDS = HEAP_THREADS + 1, /* the last one has many writers */
	HEAP_WAYS = 8,			/* pointers in one cache line of the table */
	HEAP_TABLE = 65536,		/* samples that can live at a time */
	HEAP_RING_BYTES = 8 << 20,
	HEAP_REGS = 33,		/* as collectors/unwind.h numbers them */
	HEAP_SLICE_MAX = 16384, /* bytes of stack with a sample */
};

/*
 * Size classes of usable bytes: by 16 up to 1,032, where they are glibc's own chunk sizes, then
 * four an octave up to 2^40.
 */
static inline unsigned int heap_class_of(uint64_t bytes)
{
	unsigned int log, i;

	if (bytes <= 1032)
		return (unsigned int)(bytes + 7) >> 4;
	log = bucket_log2(bytes - 1);
	i = 65 + ((log - 10) << 2) + ((unsigned int)((bytes - 1) >> (log - 2)) & 3);
	return i < HEAP_CLASSES ? i : HEAP_CLASSES - 1;
}

/* Largest size in class i. */
static inline uint64_t heap_class_top(unsigned int i)
{
	unsigned int log;

	if (i <= 64)
		return 16ull * i + 8;
	log = 10 + ((i - 65) >> 2);
	return (uint64_t)(4 + ((i - 65) & 3) + 1) << (log - 2);
}

/* One thread's counts, a page. */
struct heap_shard {
	uint64_t alloc_bytes, free_bytes; /* in classes that are not exact */
	uint64_t spare[6];
	struct heap_count {
		uint64_t allocs, frees;
	} classes[HEAP_CLASSES];
};

/* What is known of the sample whose pointer is at the same index of the table. */
struct heap_info {
	uint64_t id; /* never 0, never given twice in a process */
	uint64_t bytes;
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint64_t mean_bytes;
};

enum heap_record_kind { HEAP_RECORD_ALLOC = 1, HEAP_RECORD_FREE, HEAP_RECORD_PAUSE };
enum heap_op { HEAP_OP_ALLOC = 1, HEAP_OP_FREE, HEAP_OP_REALLOC };

/* In the ring, in multiples of 64 bytes; never torn at the ring's end, where HEAP_RECORD_SKIP
 * fills up. */
#define HEAP_RECORD_SKIP  0x50494b53u
#define HEAP_RECORD_ALIGN 64u

struct heap_record {
	/* cookie ^ position in the stream, stored last: the record is whole. */
	uint64_t seal;
	uint32_t total_bytes; /* of the record, with this header */
	uint32_t kind;	      /* enum heap_record_kind, or HEAP_RECORD_SKIP */
	uint64_t time_ns;     /* CLOCK_MONOTONIC */
	uint64_t id;	      /* of the sample */
	uint64_t bytes;	      /* usable; of a pause, those asked for or freed */
	uint64_t mean_bytes;  /* of an allocation: mean in force */
	uint64_t duration_ns; /* of a pause: inside the allocator */
	uint32_t index;	      /* in the table */
	uint32_t tid;
	uint32_t op;	      /* enum heap_op */
	uint32_t slice_bytes; /* behind the registers; 0 with a free */
	uint64_t regs[HEAP_REGS];
	uint64_t pad[6];
};

/* A free carries no registers. */
#define HEAP_RECORD_SHORT 128u

/* Written by the reader, on lines of their own. 0 stands for the default. */
struct heap_control {
	uint64_t reader_ns;   /* CLOCK_MONOTONIC when it was last here; 0: nobody came yet */
	uint64_t tail;	      /* ring read up to here */
	uint64_t mean_bytes;  /* the sampling mean wanted; 1 samples everything */
	uint64_t slice_bytes; /* of stack with a sample */
	uint64_t pause_ns;    /* calls that took longer go through the ring */
	uint64_t stop;	      /* 1: count on, but take no samples */
	uint64_t pad[2];
};

enum heap_size_from {
	HEAP_SIZE_CHUNK = 1, /* read from glibc's chunk header */
	HEAP_SIZE_CALL,	     /* malloc_usable_size */
	HEAP_SIZE_NONE,	     /* there is no way: bytes are those asked for, live bytes unknown */
};

enum heap_from {
	HEAP_FROM_START = 1, /* of the program: live is all there is */
	HEAP_FROM_FORK,	     /* the parent's live counts at the fork are in the shared shard */
	HEAP_FROM_LATE,	     /* from a moment on: live is the change since, and may be negative */
};

#define HEAP_NOT_TOLD UINT64_MAX

/*
 * What jemalloc, tcmalloc or mimalloc tells of itself, where it is underneath: renewed while
 * it samples, in a hundredth of a thread's time. Bytes; single ones may be HEAP_NOT_TOLD.
 */
struct heap_told {
	uint64_t asked_ns, answered_ns; /* CLOCK_MONOTONIC; answered 0: never */
	uint64_t cost_ns;		/* of asking, the last time */
	uint64_t pause_ns;		/* not to be asked again before that */
	uint64_t live;			/* handed out */
	uint64_t held;			/* of the kernel's memory, without its own accounts */
	uint64_t small, whole; /* of held, free: in pieces beside live ones, and in whole pages */
	uint64_t arenas;       /* 0: it has none, or does not tell */
	uint64_t counted;      /* sum of the shards' alloc_bytes - free_bytes, when it was asked */
};

/* Written by the library. */
struct heap_state {
	uint64_t head;	     /* ring written or reserved up to here */
	uint64_t next_id;    /* samples ever taken, those dropped too */
	uint64_t mean_bytes; /* in force: doubled when ring or table get full, or samples many */
	uint64_t boost;	     /* how often */
	uint64_t boost_tail, boost_ns; /* when last: once for each time that the ring was read */
	uint64_t pace_id, pace_ns;     /* the sample from which, and since when, they are counted */
	uint64_t samples;	       /* that went through the ring */
	uint64_t dropped;	       /* for want of room in the ring or the table */
	uint64_t dropped_bytes;	       /* that those stood for, estimated */
	uint64_t unread;	       /* taken while nobody read, and let go */
	uint64_t lost_frees;	       /* whose record found no room: compare with the table */
	uint64_t lost_pauses;
	uint64_t table_used;
	uint64_t timed, pauses; /* calls that were timed; of them over the threshold */
	uint64_t pause_max_ns;
	uint64_t refused_threads; /* that found no shard: they share one, unsampled */
	uint32_t shards;	  /* ever in use: 0 .. shards - 1 */
	uint32_t threads;	  /* with a shard now */
	uint32_t shared;	  /* 1: the shared shard has something in it */
	uint32_t pad;
	struct heap_told told;
};

/*
 * Whether all memory of class i has heap_class_top(i) bytes, as small chunks of glibc's have: then
 * its bytes are not counted, for its objects say them.
 */
static inline int heap_class_is_exact(unsigned int i, uint32_t size_from)
{
	return i < HEAP_CLASSES_EXACT && size_from == HEAP_SIZE_CHUNK;
}

struct heap_segment_header {
	uint64_t magic;
	uint32_t version, header_bytes;
	uint64_t total_bytes;
	uint64_t control_offset, state_offset, pauses_offset, shards_offset, table_offset,
		infos_offset, ring_offset;
	uint32_t shard_bytes, shards, classes, table, ring_bytes, record_bytes, bucket_count, regs;
	uint32_t pid;	    /* as the process sees itself */
	uint32_t parent;    /* of a forked child whose parent was watched, else 0 */
	uint32_t size_from; /* enum heap_size_from */
	uint32_t from;	    /* enum heap_from */
	uint64_t start_ns;  /* CLOCK_MONOTONIC when made */
	uint64_t cookie;
	uint64_t text_start, text_end; /* the library's own code, the innermost frames of stacks */
	char allocator[64];	       /* file name of what is underneath; ends in 0 */
};

#define HEAP_PAGE(n)		 ((((uint64_t)(n)) + 4095) & ~4095ull)
#define HEAP_CONTROL_OFFSET	 1024ull
#define HEAP_STATE_OFFSET	 2048ull
#define HEAP_PAUSES_OFFSET	 4096ull
#define HEAP_SHARDS_OFFSET	 (HEAP_PAUSES_OFFSET + HEAP_PAGE(BUCKET_COUNT * 8))
#define HEAP_SHARD_BYTES	 HEAP_PAGE(sizeof(struct heap_shard))
#define HEAP_TABLE_OFFSET	 (HEAP_SHARDS_OFFSET + HEAP_SHARDS * HEAP_SHARD_BYTES)
#define HEAP_INFOS_OFFSET	 (HEAP_TABLE_OFFSET + HEAP_TABLE * 8ull)
#define HEAP_RING_OFFSET	 (HEAP_INFOS_OFFSET + HEAP_TABLE * sizeof(struct heap_info))
#define HEAP_SEGMENT_BYTES	 (HEAP_RING_OFFSET + HEAP_RING_BYTES)
#define HEAP_DEFAULT_MEAN_BYTES	 (512ull << 10)
#define HEAP_DEFAULT_SLICE_BYTES 8192ull
#define HEAP_DEFAULT_PAUSE_NS	 100000ull
#define HEAP_TIMED_BYTES	 (64ull << 10) /* calls of so many are timed; of less, samples' */

_Static_assert(sizeof(struct heap_record) % 64 == 0, "records keep their alignment");
_Static_assert(sizeof(struct heap_shard) == 64 + 16 * HEAP_CLASSES, "part of the layout");
_Static_assert(sizeof(struct heap_segment_header) <= HEAP_CONTROL_OFFSET, "the header fits");
_Static_assert(sizeof(struct heap_state) <= HEAP_PAUSES_OFFSET - HEAP_STATE_OFFSET, "so does it");

#endif
