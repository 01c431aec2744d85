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
	if (target_many)
		bpf_map_delete_elem(&targets, &tgid);
	return 0;
}

#endif
