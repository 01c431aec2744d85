/* SPDX-License-Identifier: Apache-2.0 */
/* thread.bpf.h: what is known of a thread between one context switch and the next. */
#ifndef PERFTOP_THREAD_BPF_H
#define PERFTOP_THREAD_BPF_H

/* Locks that a thread waited for last are remembered: between two there may be others, as a GIL. */
enum { WAITED_FOR = 4 };

/* All zero but for whose it is: not seen yet. */
struct thread_state {
	u64 task;	     /* its place is of this one, 0 = of none */
	u64 start_ns;	     /* when the thread began whose state this is */
	u64 off_ns, wake_ns; /* by sched_now() */
	u64 run_delay_ns;    /* of the thread's life, when it left */
	u64 blocked_ns;	     /* in waits that are over; time in the run queue not included */
	u64 lock;	     /* see contract_lock_key */
	u64 inode;	     /* with fd: see contract_socket_key; of WAIT_NET alone */
	u64 stratum_ns, stratum_at, stratum_point; /* see stack_weight() */
	u64 quiet_ns; /* of waiting in this stratum that no stack is taken of */
	u64 due_weight_ns;
	u64 due_ns; /* of a wait whose stack is to be taken, 0 = none */
	u32 lock_owner, lock_op;
	u32 wait, due_wait;
	u32 waker, waker_kind, waker_era;
	s32 fd;
	u32 looks;		    /* waits on futexes, for looking at some alone */
	u32 bin;		    /* see bin_of() */
	u32 window;		    /* whose this is */
	u64 switches;		    /* of the thread's life, when it left */
	u64 counted_ns;		    /* see wait_counted() */
	u64 waited_for[WAITED_FOR]; /* locks; at `waited` % their number the last */
	u32 waited;
	u32 waker_waited; /* the waker has waited for the same lock */
	char waker_comm[16];
};

/*
 * Each where the address of its task leads to, whose threads follow each other: task storage takes
 * longer than all else that a switch does.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CONTRACT_THREAD_PLACES);
	__type(key, u32);
	__type(value, struct thread_state);
} thread_places SEC(".maps");

/* The same for threads that found their places taken. */
__u32 threads_crowded = 0; /* there are some */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread_state);
} thread_states SEC(".maps");

static __always_inline struct thread_state *thread_place(struct task_struct *task, bool take)
{
	return place_find(&thread_places, CONTRACT_THREAD_PLACE_BITS, (u64)task, 6, take);
}

/* NULL: it is not known yet. */
static __always_inline struct thread_state *thread_known(struct task_struct *task)
{
	struct thread_state *t = thread_place(task, false);

	if (!t && threads_crowded)
		t = bpf_task_storage_get(&thread_states, task, 0, 0);
	return t && t->start_ns == task->start_time ? t : 0;
}

/* NULL: there is no memory for it. */
static __always_inline struct thread_state *thread_of(struct task_struct *task)
{
	struct thread_state *t = thread_place(task, true);
	u64 start = task->start_time, was;

	if (!t) {
		threads_crowded = 1;
		t = bpf_task_storage_get(&thread_states, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	}
	if (!t || t->start_ns == start)
		return t;
	/* Another thread's, that has ended. */
	was = t->start_ns;
	if (__sync_val_compare_and_swap(&t->start_ns, was, start) == was)
		__builtin_memset(&t->off_ns, 0, sizeof(*t) - offsetof(struct thread_state, off_ns));
	return t;
}

#endif
