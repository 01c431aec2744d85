/* SPDX-License-Identifier: Apache-2.0 */
/* heap_segment.h: reads what libperftop_heap.so keeps about a process's heap. */
#ifndef PERFTOP_HEAP_SEGMENT_H
#define PERFTOP_HEAP_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectors/unwind.h"
#include "probes/heap.h"

/*
 * The target is not trusted: whatever it writes, at whatever moment, is bounded. The segment is
 * mapped only when sealed against shrinking; one that is not is refused.
 *
 *	s = heap_segment_attach(pid, &err, why, sizeof(why));
 *	each tick: heap_segment_refresh(s); heap_segment_drain(s, fn, arg);
 *	heap_segment_free(s);
 */
struct heap_segment;

/* All threads summed, as of the last refresh. Bytes are usable bytes. */
struct heap_totals {
	uint64_t allocs, frees; /* calls since `from`; a realloc is one of each */
	uint64_t alloc_bytes, free_bytes;
	int64_t live_bytes, live_objects; /* exact at rest; may be negative from HEAP_FROM_LATE */
	uint64_t class_allocs[HEAP_CLASSES], class_frees[HEAP_CLASSES]; /* see heap_class_top() */
	uint64_t mean_bytes; /* of the sampling, in force */
	uint64_t samples, dropped, dropped_bytes, unread;
	uint64_t timed;	 /* calls: all of 64 KB and more, of smaller memory those of the samples */
	uint64_t pauses; /* of them, over the threshold */
	uint64_t pause_p50_ns, pause_p99_ns, pause_max_ns; /* of the timed calls */
	uint64_t start_ns;				   /* CLOCK_MONOTONIC when counting began */
	uint64_t refused_threads;
	uint32_t threads;
	uint32_t size_from;    /* enum heap_size_from */
	uint32_t from;	       /* enum heap_from */
	char allocator[64];    /* file name of the allocator underneath, clean text */
	struct heap_told told; /* answered_ns 0: it says nothing */
};

/* A record of the ring, checked. Valid during the callback. */
struct heap_event {
	enum heap_record_kind kind;
	enum heap_op op;
	uint64_t time_ns, id, bytes, mean_bytes, duration_ns;
	uint32_t index, tid;
	struct unwind_regs regs;
	const void *slice; /* a copy: the target cannot change it any more */
	size_t slice_bytes;
};

typedef void heap_event_fn(void *arg, const struct heap_event *e);

/*
 * Attach to the segment that pid made itself. NULL with *err: -ENOENT no segment (the library is
 * not in the process), -EACCES, -ESRCH, -ENOMEM, -EBADMSG corrupt. why says it in a sentence.
 */
struct heap_segment *heap_segment_attach(int pid, int *err, char *why, size_t why_size);
void heap_segment_free(struct heap_segment *s);

/*
 * Begin anew: all counts and samples from zero. For a library that is off: what was freed while it
 * was off is not known. 0, or as heap_segment_refresh.
 */
int heap_segment_restart(struct heap_segment *s);
/* Whether somebody drained it in the last three seconds. */
bool heap_segment_is_read(const struct heap_segment *s);

/* For tests and tools: fd of a segment; taken over, also on failure. No process is watched. */
struct heap_segment *heap_segment_open(int fd, int *err, char *why, size_t why_size);

/*
 * Sum the shards, once a tick. Allocates nothing. -ESRCH: the process has ended or runs another
 * program; the totals are its last. -EBADMSG: corrupt, see heap_segment_why.
 */
int heap_segment_refresh(struct heap_segment *s);
const struct heap_totals *heap_segment_totals(const struct heap_segment *s);
const char *heap_segment_why(const struct heap_segment *s);

/*
 * Hand every record that waits to fn, in order, and make room for more; tells the library that
 * somebody reads, so call it at least once a second. Where the ring was full, or more than 4,096
 * samples a second came and no mean was set, the library doubles the mean, and halves it again when
 * there has been room for five seconds. Returns the number of records, or -EBADMSG.
 */
int64_t heap_segment_drain(struct heap_segment *s, heap_event_fn *fn, void *arg);

/* Whether a sample lives: true until its free. For when the record of the free was lost. */
bool heap_segment_lives(const struct heap_segment *s, uint32_t index, uint64_t id);
/* Records of frees, or whole samples, that were lost so far: when it grew, compare. */
uint64_t heap_segment_lost(const struct heap_segment *s);

/* At run time; a thread takes over a new mean at its next sample. 0 is the default. */
void heap_segment_set_mean(struct heap_segment *s, uint64_t mean_bytes);
void heap_segment_set_slice(struct heap_segment *s, uint64_t slice_bytes);
void heap_segment_set_pause(struct heap_segment *s, uint64_t threshold_ns);

/* The library's own code: frames in it come first in each stack. */
bool heap_segment_owns(const struct heap_segment *s, uint64_t pc);
uint64_t heap_segment_bytes(const struct heap_segment *s); /* memory that the segment takes up */
int heap_segment_pid_seen(const struct heap_segment *s);   /* pid as the process sees itself */

#endif
