/* SPDX-License-Identifier: Apache-2.0 */
/* fault.bpf.h: page faults of the target: every one counted, some with their user stack. */
#ifndef PERFTOP_FAULT_BPF_H
#define PERFTOP_FAULT_BPF_H

enum { FAULT_TOO_FAST_NS = 1000000, FAULT_TOO_SLOW_NS = 8000000, FAULT_REACH_MAX = 1 << 20 };

__u64 fault_stacks_lost = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32); /* CPU */
	__type(value, struct contract_faults);
} fault_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, CONTRACT_FAULT_RING);
} fault_ring SEC(".maps");

/* Not that of CPU samples, which may come in the middle of this one. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sample_buffer);
} fault_buffers SEC(".maps");

/* A contract_sample whose time_ns is the faults it stands for, and in_kernel the kind. */
static __always_inline long fault_stack(u32 kind, u64 weight)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 id = bpf_get_current_pid_tgid();
	u32 zero = 0, len;
	struct sample_buffer *b = bpf_map_lookup_elem(&fault_buffers, &zero);
	struct contract_sample *s;

	if (!b)
		return -1;
	s = &b->head;
	s->time_ns = weight;
	s->pid = id >> 32;
	s->tid = (u32)id;
	s->parent = forked_from(task);
	s->in_kernel = kind;
	s->nkernel = 0;
	regs_read(s, (struct pt_regs *)bpf_task_pt_regs(task));
	s->slice = sample_slice(b->slice, s->sp);
	sample_restore_returns(b, task);
	len = sizeof(*s) + s->slice;
	if (len > sizeof(*b))
		return -1;
	return bpf_ringbuf_output(&fault_ring, b, len,
				  bpf_ringbuf_query(&fault_ring, BPF_RB_AVAIL_DATA) >
						  CONTRACT_FAULT_RING / 2
					  ? BPF_RB_FORCE_WAKEUP
					  : BPF_RB_NO_WAKEUP);
}

/*
 * A stack costs several faults, so there are some 100 to 1,000 a second and CPU: the mean distance
 * between two doubles when they come faster and halves when they come slower. Each distance is
 * drawn anew, so that a program which faults in turns at two places shows both; a stack stands for
 * the faults since the one before.
 */
static __always_inline void fault_seen(struct contract_faults *c)
{
	u64 now, apart;

	c->since++;
	if (c->since < c->gap)
		return;
	now = bpf_ktime_get_ns();
	apart = now - c->last_ns;
	c->last_ns = now;
	if (apart < FAULT_TOO_FAST_NS && c->reach < FAULT_REACH_MAX)
		c->reach = 2 * c->reach + 1;
	else if (apart > FAULT_TOO_SLOW_NS)
		c->reach /= 2;
	c->gap = 1 + bpf_get_prandom_u32() % ((u32)c->reach + 1);
	if (bpf_ringbuf_query(&fault_ring, BPF_RB_AVAIL_DATA) >
		    CONTRACT_FAULT_RING - sizeof(struct sample_buffer) - 64 ||
	    fault_stack(FAULT_ANY, c->since)) {
		__sync_fetch_and_add(&fault_stacks_lost, 1);
		c->gap += c->since; /* the next one stands for these too */
		return;
	}
	c->since = 0;
}

static __always_inline struct contract_faults *fault_count_of(struct task_struct *task)
{
	u32 cpu = bpf_get_smp_processor_id();

	return is_target(task->tgid) ? bpf_map_lookup_elem(&fault_counts, &cpu) : 0;
}

SEC("tp_btf/page_fault_user")
int BPF_PROG(on_fault_user, unsigned long address)
{
	struct contract_faults *c = fault_count_of(bpf_get_current_task_btf());

	if (!c)
		return 0;
	c->user++;
	fault_seen(c);
	return 0;
}

/* The kernel meets a missing page of the program, as when read(2) fills a fresh buffer. */
SEC("tp_btf/page_fault_kernel")
int BPF_PROG(on_fault_kernel, unsigned long address)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct contract_faults *c;

	/* Tries that give up at once, those of probes among them, bring no page. */
	if ((s64)address < 0 || task->pagefault_disabled)
		return 0;
	c = fault_count_of(task);
	if (!c)
		return 0;
	c->kernel++;
	fault_seen(c);
	return 0;
}

/* On the kernel's own event of a fault that had to wait for a disk: every one with its stack. */
SEC("perf_event")
int on_fault_major(struct bpf_perf_event_data *ctx)
{
	struct contract_faults *c = fault_count_of(bpf_get_current_task_btf());

	if (!c)
		return 0;
	c->major++;
	c->major_since++;
	if (fault_stack(FAULT_MAJOR, c->major_since))
		__sync_fetch_and_add(&fault_stacks_lost, 1);
	else
		c->major_since = 0; /* else the next one stands for these too */
	return 0;
}

#endif
