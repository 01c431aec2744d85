/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h: the boundary: what one tick saw, as plain values that views, rules and files read.
 * Long because it is the one contract between those who measure and those who show.
 */
#ifndef PERFTOP_SNAPSHOT_H
#define PERFTOP_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * One tick fills one struct snapshot. It holds no pointer, so it can be copied, recorded and
 * replayed as it is. Times are ns of CLOCK_MONOTONIC unless a name says otherwise, sizes are
 * bytes, percentages are of one CPU. Arrays are filled from 0 to their count; what did not fit is
 * counted in `truncated` and never silently lost. Strings are NUL-terminated, valid UTF-8 or
 * ASCII, and already free of control characters.
 *
 * snapshot_fields.c describes every row type once; JSON, SQLite and replay follow from that.
 */
enum {
	SNAP_NAME = 128, /* function, metric or syscall name, shortened in the middle if longer */
	SNAP_PEER = 64,	 /* address and port */
	SNAP_TEXT = 256, /* a sentence for the user */
	SNAP_SECTIONS = 32,
	SNAP_LATENCY = 1024,
	SNAP_SYSCALLS = 512,
	SNAP_BINS = 65536,
	SNAP_FUNCTIONS = 512,
	SNAP_STACKS = 64,
	SNAP_FRAMES = 64,
	SNAP_SYMBOLS = 8192,
	SNAP_THREADS = 1024,
	SNAP_COUNTERS = 1024,
	SNAP_BLOCKED = 16,
	SNAP_LOCKS = 64,
	SNAP_WAIT_STACKS = 64,
	SNAP_TAILS = 64,
	SNAP_BLOCK = 64,
	SNAP_FAULTS = 64,
	SNAP_SOCKETS = 64,
	SNAP_PROCESSES = 256,
	SNAP_HEAP_SIZES = 64,
	SNAP_HEAP_AGES = 32,
	SNAP_HEAP_SITES = 128,
	SNAP_KERNELS = 64,
	SNAP_ALERTS = 32,
	SNAP_EVENTS = 16,
};

/* A section is live (measuring), degraded (part of it is missing, see reason) or absent. */
enum section_status { SECTION_ABSENT, SECTION_DEGRADED, SECTION_LIVE };

struct snap_section {
	char name[24];
	uint32_t status; /* enum section_status */
	char reason[SNAP_TEXT];
	char fix[SNAP_TEXT]; /* what the user can type to mend it; "" if nothing can */
};

enum target_state {
	TARGET_NONE,
	TARGET_RUNNING,
	TARGET_STOPPED, /* SIGSTOP or a debugger */
	TARGET_ZOMBIE,
	TARGET_EXITED,
};

struct snap_target {
	int32_t pid;
	char comm[32];
	char cmdline[SNAP_TEXT];
	char exe[SNAP_TEXT];
	uint32_t state;	 /* enum target_state */
	uint64_t age_ns; /* since the process started */
	uint32_t threads;
	uint32_t children; /* of the first process, living; their work is not its own */
	char tier[32];	   /* what perftop may do: "root", "cap_bpf+cap_perfmon", "user" */
	char note[SNAP_TEXT];
};

/* /proc totals of the target; rates are over the last interval. */
struct snap_proc {
	double user_pct, sys_pct;
	uint64_t rss_bytes, rss_peak_bytes, anon_bytes, file_bytes, shmem_bytes, swap_bytes,
		vsz_bytes;
	uint64_t minflt, majflt;
	double minflt_rate, majflt_rate;
	uint64_t read_bytes, write_bytes; /* block layer, from /proc/PID/io */
	double read_rate, write_rate;	  /* bytes a second */
	uint64_t ctxsw_voluntary, ctxsw_involuntary;
	double ctxsw_voluntary_rate, ctxsw_involuntary_rate;
	uint32_t fds;
	uint32_t ncpu;		/* CPUs online */
	int32_t nice;		/* priority of its first thread: -20 first to 19 last */
	uint32_t cpus_allowed;	/* of them, those that its first thread may run on; 0: not known */
	char cpus_list[32];	/* which: "0-3,8", cut at its end */
	double machine_cpu_pct; /* busy share of the whole machine, 100 = every CPU */
	double machine_steal_pct; /* of it, what the hypervisor gave to others */
	uint64_t mem_total_bytes, mem_available_bytes;
	/* Of the control group that limits it most; 0 and "" where none does. */
	double quota_cpus;    /* CPU time it may use, in CPUs */
	double throttled_pct; /* periods in which that was used up, of the last half second */
	char quota_group[SNAP_NAME];			 /* its path, as in /proc/PID/cgroup */
	uint64_t memory_limit_bytes, memory_group_bytes; /* what it may have, and has */
	double memory_limit_rate; /* times a second that it met the limit and had to give back */
	char memory_group[SNAP_NAME];
};

/* One latency source. Counts and quantiles run since attach, or since the last reset. */
struct snap_latency {
	char name[SNAP_NAME];
	char module[48];  /* file name of the binary, or the counter's group; "" if none */
	uint32_t source;  /* enum latency_source */
	char unit[8];	  /* "ns" unless a counter says otherwise */
	uint64_t count;	  /* exact, unless note calls it an estimate */
	double rate;	  /* events a second over the last interval */
	uint64_t sampled; /* how many of count the quantiles rest on; = count when all */
	uint64_t p50, p90, p99, p999, max, mean;
	uint64_t sum; /* of all calls: an estimate where only some were timed */
	uint64_t recent_p50, recent_p99, recent_max; /* of the last interval; 0 when it had none */
	uint64_t target;			     /* the user's goal for p99, 0 = none set */
	uint32_t met;				     /* 1 when target is set and p99 <= target */
	uint64_t calls;	 /* entries seen: more than count while calls are in flight */
	double cost_ns;	 /* estimated ns that each event adds to the target; 0 = not in its path */
	uint64_t failed; /* system calls: of count, those that failed */
	double failed_pct;	       /* the same, of the last interval that had calls */
	char error[16];		       /* what most of them failed with: "ENOENT"; "" if none did */
	char file[40];		       /* system calls on files: that most waited for; "" if none */
	char note[64];		       /* e.g. "1 in 16 timed", "single-stepped" */
	uint32_t bin_first, bin_count; /* its histogram in snapshot.bins; 0 bins = not kept */
};
enum latency_source {
	LATENCY_UPROBE,
	LATENCY_USDT,
	LATENCY_SYSCALL,
	LATENCY_COUNTER,
	LATENCY_BLOCK,
	LATENCY_SOCKET,	   /* answers: see turns.h */
	LATENCY_IN_PROCESS /* a function, timed by a library in the process */
};

/* Sparse histogram bin, see probes/bucket.h for the arithmetic. */
struct snap_bin {
	uint32_t bucket;
	uint32_t count;
};

struct snap_cpu {
	double user_pct, sys_pct; /* of the target, from /proc */
	double runq_wait_pct;	  /* time runnable but not running, percent of one CPU */
	uint64_t samples;	  /* since attach or reset */
	uint64_t samples_lost;
	double hz;		 /* sampling rate per CPU */
	double unwound_pct;	 /* samples whose stack reached the thread's start */
	uint64_t kernel_samples; /* of samples, taken inside the kernel */
};

struct snap_symbol {
	char name[SNAP_NAME];
	char module[48];
};

struct snap_function {
	char name[SNAP_NAME];
	char module[48];
	double self_pct, total_pct; /* of all samples since attach or reset */
	double recent_pct;	    /* of the samples of about the last ten seconds, self */
	uint64_t self, total;	    /* samples */
};

struct snap_stack {
	uint64_t count;
	uint32_t nframes;
	uint32_t frames[SNAP_FRAMES]; /* indices into snapshot.symbols, leaf first */
};

enum blocked_reason {
	BLOCKED_FUTEX,
	BLOCKED_IO,
	BLOCKED_PAGE_FAULT,
	BLOCKED_SLEEP,
	BLOCKED_NET,
	BLOCKED_OTHER,
	BLOCKED_RUNQ, /* runnable, waiting for a CPU */
	BLOCKED_AIO,  /* for asynchronous I/O to complete; or idle: see time_split.h */
	BLOCKED_REASONS
};

struct snap_blocked {
	uint32_t reason;    /* enum blocked_reason */
	uint64_t ns, count; /* since attach or reset */
	double pct; /* of one CPU's wall time over the last interval; many threads can exceed 100 */
	uint64_t p50, p99, max;
};

/* Stacks of threads that left their CPU, of the longest waits in all; frames as in snap_stack. */
struct snap_wait_stack {
	uint32_t reason; /* enum blocked_reason */
	uint64_t ns, count, max_ns;
	int32_t tid;	       /* that waited there last */
	char kind[16];	       /* of lock, as in snap_lock, of a wait on a futex; "" if not known */
	char waker[SNAP_NAME]; /* who ended the last wait: "comm/tid", "" if not known */
	uint32_t nframes;
	uint32_t frames[SNAP_FRAMES];
};

/* A call of a probed function that took longer than its threshold, with what it spent that on. */
struct snap_tail {
	char name[SNAP_NAME]; /* the function's, as in its latency row */
	uint64_t time_ns;     /* CLOCK_REALTIME of its end */
	uint64_t ns, threshold_ns;
	int32_t tid;
	uint64_t cpu_ns, runq_ns, blocked_ns; /* add up to ns but for the probe's own time */
	uint32_t reason;		      /* enum blocked_reason of the longest wait in it */
	uint64_t longest_ns;		      /* that wait */
	char what[SNAP_NAME];		      /* what it waited on: lock address, file, "" */
	char waker[SNAP_NAME];		      /* who ended it: "comm/tid" */
	uint64_t minflt, majflt;	      /* page faults inside the call */
	uint32_t nframes;
	uint32_t frames[SNAP_FRAMES];
};

/* Page faults, since attach or reset; /proc/PID counts those of MAP_POPULATE and the like too. */
struct snap_page_faults {
	uint64_t count;	       /* met by the program, or by the kernel on its behalf; exact */
	uint64_t kernel_count; /* of them, by the kernel */
	uint64_t major;	       /* of them, those that waited for a disk */
	double rate;
	uint64_t stacks, lost; /* taken, and those that found no room */
	double unwound_pct;    /* of stacks, reached the thread's start */
	uint64_t mean_ns;      /* CPU time a fault takes, by CPU samples inside; 0 = not known */
};

/* Where page faults come from. */
struct snap_fault {
	char kind[8];	/* "fault", or "major": those of them that waited for a disk */
	uint64_t count; /* an estimate from the stacks, which stand for all */
	double rate;
	uint32_t nframes;
	uint32_t frames[SNAP_FRAMES];
};

/* A socket that threads waited on. */
struct snap_socket {
	int32_t fd;
	char name[SNAP_NAME]; /* "tcp 127.0.0.1:6379 10.0.0.2:41022", "unix /run/x.sock" */
	char peer[SNAP_PEER]; /* its other end, of a connection made from here; else "" */
	uint64_t waits, wait_ns, max_ns;
	double pct; /* of one thread's wall time over the last interval */
	/* Of a TCP connection, all 0 of others; since it was first seen here, but for the first. */
	uint64_t rtt_ns; /* shortest round trip of the last minutes, 0 = not known */
	uint64_t retransmits, out_of_order;
	double loss_pct; /* those two, of all segments sent and received */
};

/* One of several processes that are watched together. */
struct snap_process {
	int32_t pid, parent;
	char comm[32];
	char state;
	double cpu_pct;
	uint64_t rss_bytes;
	uint32_t threads;
};

enum heap_mode { HEAP_OFF, HEAP_PROC, HEAP_SAMPLE, HEAP_TRACE };
enum heap_verdict {
	HEAP_UNKNOWN,	 /* too little is known yet */
	HEAP_STEADY,	 /* nothing grows, nothing is wasted */
	HEAP_GROWING,	 /* live memory grows: by use or by a leak */
	HEAP_LEAKING,	 /* it grows and what was allocated early is not freed */
	HEAP_FRAGMENTED, /* much of what the allocator holds is free, in small pieces */
	HEAP_CACHED,	 /* much of what the allocator holds is free and could be given back */
};

/* The heap as a whole. What the mode or the allocator does not tell is 0 and said in words. */
struct snap_heap {
	uint32_t mode;	    /* enum heap_mode */
	char allocator[48]; /* "glibc 2.36", "jemalloc 5.3.0 (static)", "" = not recognised */
	uint32_t verdict;   /* enum heap_verdict */
	char words[SNAP_TEXT];
	uint64_t rss_bytes, pss_bytes, anon_bytes;
	uint64_t obtained_bytes; /* by the allocator from the kernel */
	uint64_t live_bytes;	 /* of them, in use by the program */
	uint64_t retained_bytes; /* of them, free in the allocator */
	uint32_t live_at_most;	 /* 1: not all is counted, live_bytes at most, retained at least */
	uint64_t mmapped_bytes;	 /* of live_bytes, in mappings of their own */
	uint64_t live_count;
	uint32_t arenas;
	double alloc_rate, free_rate; /* calls a second */
	double alloc_bytes_rate;      /* bytes a second */
	double growth_bytes_s;	      /* over a minute, of: */
	uint32_t growth_of_live;      /* 1: live bytes, 0: anonymous memory */
	double brk_rate, mmap_rate, munmap_rate, madvise_rate; /* calls a second */
	double mapped_rate, unmapped_rate;		       /* bytes a second, by those calls */
	uint64_t fault_ns; /* CPU time of a page fault, the mean; 0 = too few samples to tell */
	uint64_t sample_mean_bytes, samples, dropped;
};

/* Most of its memory does not come from the allocator: the program maps it itself, as Python, node
 * and Go do, and what counts malloc does not see it. Some MiB are any program's data and stacks. */
#define SNAP_HEAP_OWN_BYTES (16ull << 20)
static inline bool snapshot_heap_is_own(const struct snap_heap *h)
{
	return h->obtained_bytes && h->obtained_bytes < h->anon_bytes / 2 &&
	       h->anon_bytes - h->obtained_bytes >= SNAP_HEAP_OWN_BYTES;
}

/* Calls of the allocator, and page faults, that took longer than the threshold. */
struct snap_pauses {
	uint64_t threshold_ns, count, p50, p99, max;
};

/* Allocations of up to size_max bytes (and above the row before). */
struct snap_heap_size {
	uint64_t size_max, live_count, live_bytes, allocs;
};

/* Generations: what lives at an age of up to max_ns, and what died at such an age. */
struct snap_heap_age {
	uint64_t max_ns, live_count, live_bytes, freed_count, freed_bytes;
};

/* Where memory comes from, the most live bytes first. Estimates from samples, without bias. */
struct snap_heap_site {
	uint64_t bytes, count;		   /* live */
	uint64_t total_bytes, total_count; /* allocated since attach or reset */
	double rate;			   /* allocations a second */
	double growth_bytes_s;
	uint64_t age_p50_ns;
	double leak_score; /* 0..1, by growth and age */
	uint32_t nframes;
	uint32_t frames[SNAP_FRAMES];
};

/* Concurrency Kit's epochs in the target, through libperftop. */
struct snap_reclaim {
	uint64_t pending, peak, dispatched, stalls, stall_ns;
	double dispatched_rate;
};

/* One futex address that threads waited on. */
struct snap_lock {
	uint64_t addr;
	uint32_t reason;		 /* enum blocked_reason whose time it is part of */
	uint64_t waits, wait_ns, max_ns; /* estimates where it is no futex: addr 0 */
	double pct;			 /* of one thread's wall time over the last interval */
	int32_t pid;	      /* whose own it is where several processes are watched, else 0 */
	int32_t owner_tid;    /* holder seen last, of a file lock its process; 0 = not known */
	uint32_t is_mutex;    /* 1: who waits would run if he could (mutex, rwlock, Python's GIL,
			       * PostgreSQL's LWLock …); 0: he may be idle (condvar, join …) */
	uint64_t p50, p99;    /* of finished waits, within 12 % */
	char kind[16];	      /* "mutex", "rwlock", "condvar", "sem", "futex" … */
	char name[SNAP_NAME]; /* of the variable, for one with a symbol: "cache_lock+8"; "" else */
	char site[SNAP_NAME]; /* function that waited there most, outside libc; "" if not known */
};

/* Threads that wait for each other for good: see deadlock.h. */
struct snap_deadlock {
	char kind[16]; /* "cycle", "self", "orphan" or "standstill" */
	int32_t pid;
	uint32_t threads; /* of the circle; "standstill": of the process */
	uint32_t behind;  /* others that wait for what those hold */
	uint64_t ns;	  /* how long the last of them waits by now */
	char words[SNAP_TEXT];
};

/*
 * Turns of event loops: from the return of one call that waits for any of many descriptors (epoll,
 * poll, select) to the next of that thread. All its connections and timers wait meanwhile.
 */
struct snap_event_loop {
	uint32_t seen_all; /* 1: every turn of this interval; else see the section */
	uint64_t turns;	   /* since attach or reset, as p50 to max are */
	double rate;
	uint64_t p50, p99, max;
	uint64_t longest_ns; /* of the last interval, one that goes on included */
	/* The longest of SNAP_LOOP_HELD_NS or more of the last 10 s; held_ns 0: none. */
	uint64_t held_ns, held_cpu_ns; /* the second: of it, on a CPU */
	uint64_t held_time_ns;	       /* CLOCK_REALTIME of its end */
	uint32_t held_at_least;	       /* 1: of its length only that on a CPU is known */
	uint32_t held_goes_on;	       /* 1: it has not ended, held_ns is so far */
	int32_t held_tid;
	char held_comm[32];
	uint32_t held_samples;		/* CPU samples of that thread in that time */
	uint32_t held_function_samples; /* of them, in: */
	char held_function[SNAP_NAME];	/* with the most; "" of less than 5 samples */
};
/* Above what a person or a client with a tight timeout puts up with, once and again. */
#define SNAP_LOOP_HELD_NS 50000000ull

struct snap_thread {
	int32_t tid;
	char comm[32];
	char state;
	double cpu_pct, runq_pct, blocked_pct;
	/* Of an event loop amid a turn: how long so far, at least, and on a CPU; else 0. */
	uint64_t turn_ns, turn_cpu_ns;
	char top[SNAP_NAME]; /* hottest function of this thread, "" if not sampled */
};

enum counter_kind { COUNTER_SUM, COUNTER_GAUGE };

/* A counter or gauge that the target registered through libperftop. */
struct snap_counter {
	char name[SNAP_NAME];
	char unit[16];
	char help[96];
	uint32_t kind; /* enum counter_kind */
	int64_t value;
	double rate; /* a second over the last interval; 0 for a gauge */
};

struct snap_kernel {
	char name[64];
	char isa[16];
	uint64_t calls;
	double rate;
	double gflops, gbytes_s; /* while inside the kernel, over the last interval */
	double pct_peak;	 /* of the machine's measured FMA peak; 0 = peak not known */
	uint64_t p50, p99;
	uint64_t sampled;	       /* how many of calls the times rest on */
	double vs_scalar, vs_standard; /* 0 = not measured in this run */
};

struct snap_trajectory {
	uint64_t capacity, used, recorded, dropped, drained;
	double contention_pct; /* failed CAS of all attempts */
	double drained_rate, recorded_rate, dropped_rate;
};

/* One learning loop: how often it ran, and how long a run took. */
struct snap_loop {
	uint64_t count, p50, p99, max; /* ns */
	double rate;
};

struct snap_learning {
	double reward;	    /* mean; 0 is the best there is */
	double update_rate; /* steps of micro-LoRA a second */
	uint64_t patterns, memories, tasks;
	double pattern_found_pct; /* of the searches */
	uint64_t dreams, dreams_kept, links;
	uint64_t staged;	/* trajectories that wait for loop B */
	uint64_t save_failures; /* states that could not be written */
};

struct snap_alert {
	char id[48];	   /* stable while the condition lasts */
	char rule[32];	   /* row of rules.def */
	uint32_t severity; /* enum alert_severity */
	char subject[SNAP_NAME];
	double value, threshold;
	uint64_t since_ns;	  /* CLOCK_REALTIME when it was raised */
	char evidence[SNAP_TEXT]; /* what was measured */
	char advice[SNAP_TEXT];	  /* what to do about it */
};
enum alert_severity { ALERT_INFO, ALERT_WARNING, ALERT_CRITICAL };

struct snap_cost {
	double self_cpu_pct;
	uint64_t self_rss_bytes;
	uint64_t bpf_ns_per_s;		     /* BPF run time on the whole machine */
	double target_pct_est;		     /* CPU taken from the target: BPF run time and traps */
	uint64_t events, dropped, throttled; /* in this interval */
	uint64_t dropped_total;		     /* since the start or the last reset */
};

/* A line of what happened to the target, newest last: exec, fork, stop, exit, attach errors. */
struct snap_event {
	uint64_t time_ns; /* CLOCK_REALTIME */
	char text[SNAP_TEXT];
};

struct snapshot {
	uint64_t seq;	      /* tick number from 1 */
	uint64_t time_ns;     /* CLOCK_REALTIME */
	uint64_t mono_ns;     /* CLOCK_MONOTONIC */
	uint64_t interval_ns; /* since the tick before */
	uint64_t since_ns;    /* time that counts and quantiles cover: since attach or reset */
	uint32_t replaying, finished; /* finished: no more ticks will come, see target.note */
	uint32_t truncated;	      /* rows that did not fit, all arrays together */

	uint32_t nsections, nlatency, nsyscalls, nbins, nfunctions, nstacks, nsymbols, nthreads,
		ncounters, nblocked, nlocks, nkernels, nalerts, nevents, ntrajectory, nlearning,
		nwait_stacks, ntails, nblock, nfaults, nsockets, nprocesses, nheap, nheap_sizes,
		nheap_ages, nheap_sites, nreclaim, npage_faults, ndeadlock, nevent_loop;

	struct snap_target target;
	struct snap_proc proc;
	struct snap_cpu cpu;
	struct snap_cost cost;
	struct snap_trajectory trajectory; /* valid when ntrajectory is 1 */
	struct snap_learning learning;	   /* valid when nlearning is 1, as the loops are */
	struct snap_loop loop_a, loop_b, loop_c;
	struct snap_heap heap;		     /* valid when nheap is 1 */
	struct snap_pauses heap_pauses;	     /* the same */
	struct snap_reclaim reclaim;	     /* valid when nreclaim is 1 */
	struct snap_page_faults page_faults; /* valid when npage_faults is 1 */
	struct snap_deadlock deadlock;	     /* valid when ndeadlock is 1 */
	struct snap_event_loop event_loop;   /* valid when nevent_loop is 1 */

	struct snap_section sections[SNAP_SECTIONS];
	struct snap_alert alerts[SNAP_ALERTS];
	struct snap_event events[SNAP_EVENTS];
	struct snap_blocked blocked[SNAP_BLOCKED];
	struct snap_lock locks[SNAP_LOCKS];
	struct snap_kernel kernels[SNAP_KERNELS];
	struct snap_stack stacks[SNAP_STACKS];
	struct snap_wait_stack wait_stacks[SNAP_WAIT_STACKS];
	struct snap_tail tails[SNAP_TAILS];
	struct snap_latency block[SNAP_BLOCK]; /* name: the device, module: "read" or "write" */
	struct snap_fault faults[SNAP_FAULTS];
	struct snap_socket sockets[SNAP_SOCKETS];
	struct snap_process processes[SNAP_PROCESSES];
	struct snap_heap_size heap_sizes[SNAP_HEAP_SIZES];
	struct snap_heap_age heap_ages[SNAP_HEAP_AGES];
	struct snap_heap_site heap_sites[SNAP_HEAP_SITES];
	struct snap_latency latency[SNAP_LATENCY];
	struct snap_latency syscalls[SNAP_SYSCALLS];
	struct snap_function functions[SNAP_FUNCTIONS];
	struct snap_thread threads[SNAP_THREADS];
	struct snap_counter counters[SNAP_COUNTERS];
	struct snap_symbol symbols[SNAP_SYMBOLS];
	struct snap_bin bins[SNAP_BINS];
};

/* It has an allocator of its own, past which malloc sees little. */
static inline bool snapshot_is_python(const struct snapshot *s)
{
	return !strncmp(s->target.comm, "python", 6);
}

/* Zeroed snapshot in memory of its own that is not resident until used; NULL without memory. */
struct snapshot *snapshot_new(void);
void snapshot_free(struct snapshot *s);

/* Empty s for the next tick. Touches only what was used. */
void snapshot_clear(struct snapshot *s);

/* Copy only the used part of src over dst. */
void snapshot_copy(struct snapshot *dst, const struct snapshot *src);

/* The section called name, or NULL. */
const struct snap_section *snapshot_find_section(const struct snapshot *s, const char *name);

/* The section called name, appended as absent if it is new; NULL when the table is full. */
struct snap_section *snapshot_section(struct snapshot *s, const char *name);

/* Set a section's state; reason and fix may be NULL, and are cleaned of control characters. */
void snapshot_set_section(struct snapshot *s, const char *name, enum section_status status,
			  const char *reason, const char *fix);

/* Index of the symbol in s->symbols, appended if new; SNAP_SYMBOLS - 1 ("…") when full. */
uint32_t snapshot_symbol(struct snapshot *s, const char *name, const char *module);

/* The same without looking whether it is there already: for callers that know by an id of their
 * own. */
uint32_t snapshot_add_symbol(struct snapshot *s, const char *name, const char *module);

/* Copy src as a clean string: control bytes and broken UTF-8 become '?', length bounded by size. */
void snapshot_string(char *dst, size_t size, const char *src);

/* Quantile q (0..1) of sparse bins holding `total` values, as the midpoint of its bucket. */
uint64_t snapshot_quantile(const struct snap_bin *bins, uint32_t n, uint64_t total, double q);

const char *section_status_name(uint32_t status);
const char *target_state_name(uint32_t state);
const char *latency_source_name(uint32_t source);
const char *blocked_reason_name(uint32_t reason);
const char *alert_severity_name(uint32_t severity);
const char *heap_mode_name(uint32_t mode);
const char *heap_verdict_name(uint32_t verdict);

/* ---- description of the rows, for writers and readers of files ------------------------------ */

enum field_type {
	FIELD_STR,
	FIELD_CHAR,
	FIELD_U32,
	FIELD_I32,
	FIELD_U64,
	FIELD_I64,
	FIELD_F64,
	FIELD_ENUM,
	FIELD_FRAMES /* uint32_t n and right after it n of `size` indices into snapshot.symbols */
};

struct field {
	const char *name; /* of the JSON member and the SQL column */
	uint32_t offset;
	uint32_t size; /* bytes of a FIELD_STR, places of a FIELD_FRAMES */
	enum field_type type;
	const char *(*enum_name)(uint32_t); /* FIELD_ENUM: its text; "?" past the end */
};

struct table {
	const char *name; /* of the JSON member and the SQL table */
	/* JSON only: a member `key` of the table `inside`, where that is not NULL. */
	const char *inside, *key;
	size_t rows_offset, stride;
	uint32_t max;
	size_t count_offset; /* of the uint32_t count; 0 for a single row that is always there */
	const struct field *fields;
	uint32_t nfields;
};

/* Every table of the snapshot but bins and symbols, which have shapes of their own. */
extern const struct table snapshot_tables[];
extern const uint32_t snapshot_ntables;
const struct table *snapshot_table(const char *name);

#endif
