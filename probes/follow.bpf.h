/* SPDX-License-Identifier: Apache-2.0 */
/* follow.bpf.h: who is watched: children from their fork on, none after its end. */
#ifndef PERFTOP_FOLLOW_BPF_H
#define PERFTOP_FOLLOW_BPF_H

/* Children that found no room in `targets`. */
__u64 follow_lost = 0;
/* Forks and execs of what is followed: a reader that looks between ticks asks whether it has to. */
__u64 follow_news = 0;

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_follow_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 tgid = child->tgid, of = parent->tgid;

	if (tgid == of || !is_target(of))
		return 0;
	if (bpf_map_update_elem(&targets, &tgid, &of, BPF_ANY))
		__sync_fetch_and_add(&follow_lost, 1);
	__sync_fetch_and_add(&follow_news, 1);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_follow_exec, struct task_struct *task)
{
	if (is_target(task->tgid))
		__sync_fetch_and_add(&follow_news, 1);
	return 0;
}

/* A struct contract_ended, whose name the skeleton does not know. */
__u64 ended[sizeof(struct contract_ended) / sizeof(__u64)] = {};

/* What was counted of processes that ended and were not waited for yet. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CONTRACT_TARGETS);
	__type(key, u32); /* tgid */
	__type(value, struct contract_ended);
} ended_so_far SEC(".maps");

/* Those of an exit_group(2) that have not got as far; of more, some is counted later. */
enum { FOLLOW_THREADS = 64 };

/* What threads had used that are no longer in the list. */
static __always_inline void read_released(struct signal_struct *sig, struct contract_ended *e)
{
	*e = (struct contract_ended){
		.cpu_ns = BPF_CORE_READ(sig, sum_sched_runtime),
		.utime = BPF_CORE_READ(sig, utime),
		.stime = BPF_CORE_READ(sig, stime),
		.minflt = BPF_CORE_READ(sig, min_flt),
		.majflt = BPF_CORE_READ(sig, maj_flt),
	};
	if (bpf_core_field_exists(sig->ioac.read_bytes)) {
		e->read_bytes = BPF_CORE_READ(sig, ioac.read_bytes);
		e->write_bytes = BPF_CORE_READ(sig, ioac.write_bytes);
	}
}

static __always_inline void add_thread(struct contract_ended *e, struct task_struct *t)
{
	e->cpu_ns += BPF_CORE_READ(t, se.sum_exec_runtime);
	e->utime += BPF_CORE_READ(t, utime);
	e->stime += BPF_CORE_READ(t, stime);
	e->minflt += BPF_CORE_READ(t, min_flt);
	e->majflt += BPF_CORE_READ(t, maj_flt);
	if (bpf_core_field_exists(t->ioac.read_bytes)) {
		e->read_bytes += BPF_CORE_READ(t, ioac.read_bytes);
		e->write_bytes += BPF_CORE_READ(t, ioac.write_bytes);
	}
}

/* It only grows: a reader takes a smaller sum for that of programs that were loaded anew. */
static __always_inline void add_more(u64 *sum, u64 now, u64 before)
{
	if (now > before)
		__sync_fetch_and_add(sum, now - before);
}

static __always_inline void add_ended(const struct contract_ended *now,
				      const struct contract_ended *before)
{
	struct contract_ended *all = (struct contract_ended *)ended;

	add_more(&all->cpu_ns, now->cpu_ns, before->cpu_ns);
	add_more(&all->utime, now->utime, before->utime);
	add_more(&all->stime, now->stime, before->stime);
	add_more(&all->minflt, now->minflt, before->minflt);
	add_more(&all->majflt, now->majflt, before->majflt);
	add_more(&all->read_bytes, now->read_bytes, before->read_bytes);
	add_more(&all->write_bytes, now->write_bytes, before->write_bytes);
}

/*
 * A child may live and die between two ticks, and what it did since the last one /proc no longer
 * tells: its parent's cutime does, but only of children that are waited for.
 */
static __always_inline void count_ended(struct task_struct *task)
{
	struct signal_struct *sig = BPF_CORE_READ(task, signal);
	struct list_head *head = &sig->thread_head, *node = BPF_CORE_READ(sig, thread_head.next);
	struct contract_ended e, none = {};
	u32 tgid = task->tgid;

	read_released(sig, &e);
	for (u32 i = 0; i < FOLLOW_THREADS && node && node != head; i++) {
		add_thread(&e,
			   (void *)node - bpf_core_field_offset(struct task_struct, thread_node));
		node = BPF_CORE_READ(node, next);
	}
	add_ended(&e, &none);
	bpf_map_update_elem(&ended_so_far, &tgid, &e, BPF_ANY);
}

/*
 * Its memory is given back after its exit is told, and the scheduler has yet to add what it ran
 * since the last clock tick: of a child of some milliseconds that is most. Now all is known.
 */
SEC("tp_btf/sched_process_free")
int BPF_PROG(on_follow_free, struct task_struct *task)
{
	u32 tgid = task->tgid;
	struct contract_ended e, *before;

	if (tgid != task->pid)
		return 0;
	before = bpf_map_lookup_elem(&ended_so_far, &tgid);
	if (!before)
		return 0;
	read_released(BPF_CORE_READ(task, signal), &e);
	add_ended(&e, before);
	bpf_map_delete_elem(&ended_so_far, &tgid);
	return 0;
}

/* The last thread of a process leaves: pids are used again. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_follow_exit, struct task_struct *task)
{
	u32 tgid = task->tgid;

	if (tgid != target_tgid && !target_many)
		return 0;
	if (BPF_CORE_READ(task, signal, live.counter))
		return 0;
	if (tgid == target_tgid)
		target_gone = 1;
	/* Of several threads that come here at once, one takes it out. */
	if (target_many && !bpf_map_delete_elem(&targets, &tgid) && tgid != target_tgid)
		count_ended(task);
	return 0;
}

#endif
