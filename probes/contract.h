/* SPDX-License-Identifier: Apache-2.0 */
/* contract.h: what the eBPF programs and their reader share: map values and limits. */
#ifndef PERFTOP_CONTRACT_H
#define PERFTOP_CONTRACT_H

#include <linux/types.h>

#include "probes/bucket.h"

/* Registers that callees save: bx r12 r13 r14 r15 of x86-64; x19..x28 and x30 of arm64. */
#if defined(__aarch64__) || defined(__TARGET_ARCH_arm64)
enum { CONTRACT_SAVED_REGS = 11 };
#else
enum { CONTRACT_SAVED_REGS = 5 };
#endif

enum {
	CONTRACT_SYSCALLS = 512,      /* syscall numbers told apart */
	CONTRACT_FD_CLASSES = 16,     /* see enum contract_fd */
	CONTRACT_SYSCALL_SLOTS = 128, /* pairs of both that may be in use by one target */
	CONTRACT_THREAD_PLACE_BITS = 11,
	CONTRACT_THREAD_PLACES = 1 << CONTRACT_THREAD_PLACE_BITS, /* of threads' states */
	CONTRACT_SYSCALL_PLACE_BITS = 12,
	CONTRACT_SYSCALL_PLACES = 1 << CONTRACT_SYSCALL_PLACE_BITS, /* of calls under way */
	CONTRACT_SLICE_BYTES = 16384, /* of user stack copied with a sample at most */
	CONTRACT_DEEP_BYTES = 65536,  /* of a CPU sample's, where that is not enough */
	CONTRACT_KSTACK = 24,	      /* kernel frames kept with a sample */
	CONTRACT_SAMPLE_RING = 1 << 20,
	CONTRACT_TAIL_RING = 1 << 20,
	CONTRACT_TAIL_RATE = 50,  /* slow calls of one function that leave evidence, a second */
	CONTRACT_TAIL_BURST = 10, /* of them, how many at once */
	CONTRACT_TARGETS = 4096,  /* processes watched together */
	CONTRACT_LOCKS = 4096,	  /* futex addresses told apart */
	CONTRACT_LOCK_BITS = 3,	  /* a bucket of a lock's histogram is 2^this full ones */
	CONTRACT_LOCK_BINS = BUCKET_COUNT >> CONTRACT_LOCK_BITS,
	CONTRACT_LOCK_LAST = 4,	 /* a power of two */
	CONTRACT_SOCKETS = 1024, /* sockets that were waited on */
	CONTRACT_TURN_ROWS = 64, /* ends of connections told apart by what they take to answer */
	CONTRACT_TURN_SOCKETS = 8192,
	CONTRACT_LOOP_BITS = 10,
	CONTRACT_LOOPS = 1 << CONTRACT_LOOP_BITS, /* places of threads that are event loops */
	CONTRACT_TURN_PATH = 112,		  /* of a Unix socket: 108 bytes, and a 0 */
	CONTRACT_WAIT_RING = 1 << 19,
	CONTRACT_FUNC_SLOTS = 16384, /* functions and markers probed at once */
	CONTRACT_FUNC_FULL = 512,    /* of them, how many have a histogram of full precision */
	CONTRACT_COMPACT_BITS = 2,   /* a bucket of a compact histogram is 2^this full ones */
	CONTRACT_COMPACT_BINS = BUCKET_COUNT >> CONTRACT_COMPACT_BITS,
	CONTRACT_FAULT_RING = 1 << 19,
	CONTRACT_BLOCK_ROWS = 64,	/* of disk, operation and whose */
	CONTRACT_BLOCK_REQUESTS = 8192, /* block requests under way */
	CONTRACT_BLOCK_COPIES = 4,	/* histograms of a row at most */
};

/* The attach cookie of a function's probe: its slot, and above that its link's turn, from 1 on. */
#define CONTRACT_FUNC_COOKIE(slot, turn) ((slot) | (__u64)(turn) << 32)
#define CONTRACT_FUNC_FIRST		 CONTRACT_FUNC_COOKIE(0, 1)

/*
 * Functions and types of the kernel that instructions name by number: in the object stand these,
 * and who loads it puts the running kernel's in.
 */
#define CONTRACT_KFUNCS(X) X(bpf_rdonly_cast) X(bpf_session_cookie)
#define CONTRACT_KTYPES(X) X(task_struct) X(hlist_head) X(file)
enum {
	CONTRACT_KFUNC_BASE = 0x6b660000,
#define CONTRACT_X(name) CONTRACT_KFUNC_##name,
	CONTRACT_KFUNCS(CONTRACT_X) CONTRACT_KFUNC_END,
#undef CONTRACT_X
	CONTRACT_KTYPE_BASE = 0x6b740000,
#define CONTRACT_X(name) CONTRACT_KTYPE_##name,
	CONTRACT_KTYPES(CONTRACT_X) CONTRACT_KTYPE_END,
#undef CONTRACT_X
};

/*
 * One histogram of one CPU. Lives in plain mmapable arrays at index slot * ncpu + cpu, so that
 * the reader sums without a system call. Written with atomic adds where another task's program
 * may interrupt on the same CPU.
 */
struct contract_hist {
	__u64 count, sum, max;
	__u64 calls; /* entries seen; count is returns seen */
	__u64 bins[BUCKET_COUNT];
};

/*
 * Above CONTRACT_FUNC_FULL functions: what contract_hist begins with, and apart from it a histogram
 * whose midpoints are within 6.3 %, counts modulo 2^32. CPUs may share them.
 */
struct contract_total {
	__u64 count, sum, max;
	__u64 calls;
};
struct contract_compact {
	__u32 bins[CONTRACT_COMPACT_BINS];
	__u32 pad[2]; /* the verifier bounds a place in bins by its last byte */
};

/* What a call works on: the file behind the descriptor that is its first argument. */
enum contract_fd {
	FD_NONE, /* it takes none, or it was not open, or closed when it was looked at */
	FD_FILE,
	FD_DIR,
	FD_SOCKET,
	FD_PIPE,
	FD_TTY,
	FD_DEVICE, /* other character devices: /dev/null, … */
	FD_DISK,   /* a block device itself */
	FD_EVENT,
	FD_TIMER,
	FD_SIGNAL,
	FD_EPOLL,
	FD_INOTIFY,
	FD_OTHER,
};
/* How a call's class is found, by its number. Below these: it is always that one. */
enum {
	FD_OF_ARGUMENT = 0x80,
	FD_OF_ARGUMENT_CLOSED = 0x81 /* it can be seen at the start alone */
};

/* One syscall on one CPU, at index slot * ncpu + cpu; slot 0 takes what found no slot. */
struct contract_syscall {
	__u64 count;		   /* exits, exact */
	__u64 failed;		   /* of them */
	__u32 error, pad;	   /* errno of the last that failed */
	struct contract_hist hist; /* of the timed ones */
};

/* A timed call under way; its thread alone writes it. */
struct contract_syscall_start {
	__u64 regs; /* of the thread that has this place */
	__u64 ns;   /* when it began; 0: none is under way */
	__u32 window;
	__u16 nr, class;
	__u64 pad;
};

/* What a system call does to a socket. */
enum contract_turn {
	TURN_NONE,
	TURN_RECEIVE,
	TURN_SEND,
	TURN_ACCEPT,
	TURN_CONNECT,
	/* To none: from here on it waits for any of many, see loop.bpf.h. */
	TURN_EPOLL,
	TURN_EPOLL2, /* epoll_pwait2 */
	TURN_POLL,
	TURN_PPOLL,
	TURN_SELECT,
};

/*
 * One end of connections. Of those made to the target, its own: how long it takes from data read to
 * data sent. Of those that it made, the other: from data sent to data read.
 */
struct contract_turn_key {
	__u8 addr[16]; /* in network order; IPv4 in the first 4; 0 for its own */
	__u16 port;
	__u8 served; /* 1: its own */
	__u8 family; /* AF_INET, AF_INET6 or AF_UNIX; 0: no row, nobody answers anybody */
	__u32 protocol;
	char path[CONTRACT_TURN_PATH]; /* AF_UNIX: ends with 0; begins with one if abstract */
};

/* What happened last on a socket. */
struct contract_turn_socket {
	__u64 ns;     /* when it began; 0: nothing yet */
	__u32 row;    /* 0: not told apart */
	__u32 window; /* of turn_window */
	__u32 turn;   /* enum contract_turn */
	__u32 served;
};

/* The longest turn of an event loop that ended on one CPU. */
struct contract_held {
	__u64 ns, cpu_ns;	/* of it, on a CPU */
	__u64 begin_ns, end_ns; /* CLOCK_MONOTONIC; farther apart than ns: ns is the least it was */
	__u32 tid;
	__u32 tick; /* of loop_tick; another: none ended in it */
	char comm[16];
};
/* A thread that may be a loop. */
struct contract_loop_state {
	__u64 regs;	  /* of who has this place, see syscall_places */
	__u64 ns, run_ns; /* the turn under way began; 0: none. And its run time then */
	__u64 trial_ns;
	__u32 tid, era;
	__u32 trial, others; /* turns of this trial, and of them with others to do */
	__u32 rank, is;
};
struct contract_loop {
	struct contract_hist hist;    /* of turns, of all threads that are loops */
	struct contract_held held[2]; /* of this tick and the one before, by its lowest bit */
};

/* Page faults on one CPU. */
struct contract_faults {
	__u64 user, kernel;   /* met by the program, and by the kernel on its behalf */
	__u64 major;	      /* of both, those that waited for a disk */
	__u64 since, gap;     /* faults since the last stack; how many until the next */
	__u64 reach, last_ns; /* gaps are drawn from 1 to 1 + this; when the last stack was taken */
	__u64 major_since;    /* of the major ones, those since the last whose stack found room */
};
/* What a stack of fault_ring is of. */
enum contract_fault_kind { FAULT_ANY, FAULT_MAJOR };

/* Block requests of one row, at index row * block_copies + copy; row 0 takes what found no row. */
struct contract_block {
	__u64 bytes;
	__u64 queue_ns;		   /* between being submitted and being given to the device */
	struct contract_hist hist; /* from being submitted until it is done */
};
enum contract_block_op {
	BLOCK_UNUSED, /* a row that is not given out */
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,
	BLOCK_DISCARD,
	BLOCK_OTHER,
};
struct contract_block_row {
	__u32 op;	 /* enum contract_block_op, written last */
	__u32 writeback; /* 1: submitted by kernel threads, whoever dirtied the pages */
	char disk[32];
};

/* Calls by which memory comes and goes, as heap.bpf.h adds up their bytes. */
enum contract_heap_call {
	CONTRACT_HEAP_MMAP, /* anonymous */
	CONTRACT_HEAP_MUNMAP,
	CONTRACT_HEAP_BRK_UP,
	CONTRACT_HEAP_BRK_DOWN,
	CONTRACT_HEAP_MADVISE, /* that gives memory back */
	CONTRACT_HEAP_CALLS,
};

/* Why a thread is off its CPU: the row of sched_hist. The reader maps it to a reason. */
enum contract_wait {
	WAIT_OTHER,
	WAIT_FUTEX,
	WAIT_SLEEP,
	WAIT_NET,
	WAIT_IO, /* uninterruptible inside a syscall, or one that is about files alone */
	WAIT_FAULT,
	WAIT_RW, /* table entry only: read, write and the like; becomes WAIT_IO or WAIT_OTHER */
	WAIT_RUNQ,
	WAIT_EPOLL,  /* table entry only: becomes WAIT_NET, for any of many sockets */
	WAIT_POLL,   /* table entry only: becomes what its descriptors tell, see poll.bpf.h */
	WAIT_SELECT, /* the same */
	WAIT_AIO,    /* for what asynchronous I/O completes, if there is any */
	WAIT_CLASSES,
};

/* What ended a wait. For an interrupt, the thread that was running is a bystander. */
enum contract_waker { WAKER_THREAD, WAKER_INTERRUPT, WAKER_UNSEEN };

/*
 * What tells one futex from another: its address, and where several processes are watched and it
 * is one process's own, the low bits of that process's id above it. Addresses have 48 bits.
 */
static inline __attribute__((always_inline)) __u64 contract_lock_key(__u64 addr, __u32 tgid)
{
	return (addr & 0xffffffffffffull) | (__u64)tgid << 48;
}
static inline __attribute__((always_inline)) __u64 contract_lock_addr(__u64 key)
{
	return key & 0xffffffffffffull;
}
static inline __attribute__((always_inline)) __u32 contract_lock_tgid(__u64 key)
{
	return key >> 48;
}

/* One futex, over all threads that waited there. */
struct contract_lock {
	__u64 waits, wait_ns, max_ns;
	__u32 owner; /* tid, as the target counts them, of a mutex's holder; 0 = none seen */
	__u32 op;    /* futex operation, without flags */
	/* Threads, as the kernel counts them, that got through last; at `through` % their number
	 * next. */
	__u32 last[CONTRACT_LOCK_LAST];
	__u32 through;
	__u32 handed;  /* waits that one ended who had waited here */
	__u64 last_ns; /* when the last came to a CPU, by the clock of switches */
	/* Time between two that got through, where the second one's waker is known: of those,
	 * others. */
	__u64 handed_ns, other_ns;
	__u32 bins[CONTRACT_LOCK_BINS]; /* of waits, by bucket_index(ns) >> CONTRACT_LOCK_BITS */
};

/* What a thread waits for on the network: a socket, or with inode 0 any of those polled. */
struct contract_socket_key {
	__u64 inode;
	__u32 tgid;
	__s32 fd; /* the socket, or the epoll instance; -1 = several in poll or select */
};
struct contract_socket {
	__u64 waits, wait_ns, max_ns;
};

/*
 * Holder of the glibc mutex whose first 20 bytes are w, while another thread waits for it; 0 when
 * they are no such thing. 64-bit layout: lock, count, owner, nusers, kind (struct_mutex.h).
 */
static inline __attribute__((always_inline)) __u32 contract_mutex_owner(const __u32 *w)
{
	/* 2: locked, with waiters. Robust and priority-inheriting ones keep the holder there too.
	 */
	if (w[0] != 2 && (w[0] & 0x3fffffff) != w[2])
		return 0;
	return w[3] - 1 < 65535 && w[4] < 1024 ? w[2] : 0;
}

/* What processes that ended had used in all, the first of those watched apart. */
struct contract_ended {
	__u64 cpu_ns, utime, stime; /* the last two by clock ticks, in ns: a ratio */
	__u64 minflt, majflt, read_bytes, write_bytes;
};

/* What the thread iterator writes for each thread of the target. */
/* A process by the kernel's number and by the reader's. */
struct contract_whois {
	__u32 tgid, ns_tgid;
};

struct contract_thread {
	__u64 at_ns;	    /* CLOCK_MONOTONIC of this row: reading many takes a while */
	__u64 run_ns;	    /* on CPU since the thread's start */
	__u64 run_delay_ns; /* runnable but waiting, since the thread's start */
	__u64 blocked_ns;   /* in waits that are over, since it was first seen */
	__u64 off_ns;	    /* CLOCK_MONOTONIC when it left its CPU; 0 while on one */
	__u64 wait_id;	    /* tells this absence from the thread's others, as off_ns may not */
	__u64 wake_ns;	    /* when it became runnable again, 0 = still blocked */
	__u64 lock;	    /* see contract_lock_key; 0 = none */
	__u64 nvcsw, nivcsw;
	__u32 tid, tgid;
	__u32 ns_tid; /* in the innermost pid namespace: what the thread itself knows */
	__u32 state;  /* task_struct's __state and exit_state */
	__u32 wait;   /* enum contract_wait */
	__u32 lock_owner, lock_op;
	char comm[16];
	__s32 fd;
	__u64 inode; /* fd and inode: see contract_socket_key */
	/* Of an event loop amid a turn: how long so far, at least, and on a CPU; else 0. */
	__u64 turn_ns, turn_cpu_ns;
	/* User registers while it is blocked: see contract_sample; 0 otherwise. */
	__u64 ip, sp, bp;
	__u64 regs[CONTRACT_SAVED_REGS];
};

/* A CPU sample: this header, then `slice` bytes of user stack from sp upwards. */
struct contract_sample {
	__u64 time_ns;
	__u32 pid, tid;
	__u32 in_kernel, nkernel; /* frames in kstack */
	__u64 ip, sp, bp;
	__u64 regs[CONTRACT_SAVED_REGS];
	__u32 slice;
	__u32 parent; /* process whose program a forked child still runs; 0 after an exec */
	/* Of the innermost call with a return probe: where it returns to, and where that stood. */
	__u64 return_ip, return_at;
	__u64 kstack[CONTRACT_KSTACK];
};

/*
 * A wait that is over, as its thread got a CPU back: this, and at its end a sample (without kernel
 * frames) and the slice. It stands for weight_ns of time blocked: itself, or for one shorter than
 * the period the whole period of its thread's waits that it was drawn from.
 */
struct contract_wait_stack {
	__u64 ns, weight_ns, lock;
	__u32 wait; /* enum contract_wait */
	__u32 waker, waker_kind;
	char waker_comm[16];
	__u32 pad;
	struct contract_sample sample;
};

/* What the reader says about a probed function's slow calls, and what became of them. */
struct contract_tail_slot {
	__u64 threshold_ns; /* calls above leave evidence; 0: none */
	__u64 slow;	    /* calls above it */
	__u64 kept;	    /* of them, how many left evidence */
	__u64 blind;	    /* began before the threshold was set, or nested too deep */
	__u64 second_ns, worst_ns, taken; /* of the present second, for the rate limit */
};

/* A wait inside a call, at its end. */
struct contract_tail_wait {
	__u64 ns;
	__u64 arg;	  /* first argument of the system call: futex address, file descriptor */
	__u32 nr;	  /* the system call, (__u32)-1 = an exception */
	__u32 class;	  /* enum contract_wait */
	__u32 owner, op;  /* of a futex, as in struct contract_lock */
	__u32 waker;	  /* tid, 0 = not known */
	__u32 waker_kind; /* enum contract_waker */
	char waker_comm[16];
};

/*
 * A slow call: this, then a struct contract_sample of its end with the slice. The CPU had it for
 * ns - away_ns.
 */
struct contract_tail {
	__u64 ns, threshold_ns, end_ns;
	__u64 away_ns, blocked_ns; /* off its CPU; of that, not runnable */
	__u64 run_delay_ns;	   /* runnable and waiting for a CPU, as the scheduler counts it */
	__u64 minflt, majflt;
	struct contract_tail_wait longest;
	__u32 slot;
	__u32 returned; /* the registers are the caller's: the function has returned to it */
};

#endif
