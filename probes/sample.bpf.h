/* SPDX-License-Identifier: Apache-2.0 */
/* sample.bpf.h: what runs on each CPU now: registers and a slice of the user stack. */
#ifndef PERFTOP_SAMPLE_BPF_H
#define PERFTOP_SAMPLE_BPF_H

/*
 * Bytes to copy of a stack whose end is not known, up to CONTRACT_DEEP_BYTES; the reader raises it
 * where stacks come cut.
 */
__u32 sample_slice_bytes = CONTRACT_SLICE_BYTES;
__u64 samples_taken = 0, samples_lost = 0;

enum {
	SAMPLE_RETURNS = 16,	    /* nested calls with a return probe that are put right */
	SAMPLE_STACK_MAX = 8 << 20, /* the usual limit of a stack */
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, CONTRACT_SAMPLE_RING);
} samples SEC(".maps");

struct sample_buffer {
	struct contract_sample head;
	u8 slice[CONTRACT_SLICE_BYTES];
};

struct sample_deep {
	struct contract_sample head;
	u8 slice[CONTRACT_DEEP_BYTES];
};

/*
 * One a CPU; a sample is built here because its length is not known beforehand. Not a per-CPU map:
 * their values are 32 KB at most.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sample_deep);
} sample_buffers SEC(".maps");

/*
 * Page by page: a read that touches one missing page gives nothing at all. A page that was never
 * written is missing too, as in a large buffer of which little is used: the read leaves zeros
 * there, and the frames above it are reached. Whole pages after the first piece, so a little more
 * than `want`: a length that varies takes the verifier ten times as long. Returns the bytes up to
 * the last page that is there.
 */
static __always_inline u32 sample_slice_of(u8 *to, u64 sp, u32 want, const u32 max)
{
	u32 at = 4096 - (u32)(sp & 4095), have = at;

	if (bpf_probe_read_user(to, at, (void *)sp))
		return 0;
	for (u32 i = 1; i < max / 4096; i++) {
		/* The register that is compared is the one that is used: the verifier follows no
		 * sums. */
		asm volatile("" : "+r"(at));
		if (at >= want || at > max - 4096)
			break;
		if (!bpf_probe_read_user(to + at, 4096, (void *)(sp + at)))
			have = at + 4096;
		at += 4096;
	}
	return have;
}

/*
 * Bytes up to where the stack began, 0 where that is not known. The first thread's begins where the
 * kernel put its arguments; those of others lie below what their thread pointer points to, with
 * glibc and musl alike. Stacks that a program makes for itself are neither.
 */
static __always_inline u32 sample_depth(struct task_struct *task, u64 sp)
{
	struct task_struct *t = kfunc_plain(task);
	u64 depth = t->mm->start_stack - sp;

	if (depth > SAMPLE_STACK_MAX)
		depth = regs_thread_pointer(t) - sp;
	return depth > SAMPLE_STACK_MAX ? 0 : (u32)depth;
}

/* Of the current task. */
static __always_inline u32 sample_slice(u8 *to, u64 sp)
{
	u32 want = sample_depth(bpf_get_current_task_btf(), sp);

	if (!want || want > CONTRACT_SLICE_BYTES)
		want = CONTRACT_SLICE_BYTES;
	return sample_slice_of(to, sp, want, CONTRACT_SLICE_BYTES);
}

/*
 * A return probe replaces the return address on the stack by a trampoline's, which no unwind rule
 * leads out of. The kernel keeps the real ones: put them back into the copy.
 */
static __always_inline void sample_restore_of(struct contract_sample *head, u8 *slice,
					      struct task_struct *task, const u32 max)
{
	struct uprobe_task *utask = kfunc_plain(task)->utask;
	struct return_instance *ri;

	head->return_ip = 0;
	if (!utask)
		return;
	ri = utask->return_instances;
	if (ri) {
		head->return_ip = ri->orig_ret_vaddr;
		head->return_at = ri->stack;
	}
	for (int i = 0; i < SAMPLE_RETURNS && ri; i++) {
		u64 off = ri->stack - head->sp;

		if (off <= max - 8 && off + 8 <= head->slice)
			*(u64 *)(slice + (off & (max - 8))) = ri->orig_ret_vaddr;
		ri = ri->next;
	}
}

static __always_inline void sample_restore_returns(struct sample_buffer *b,
						   struct task_struct *task)
{
	sample_restore_of(&b->head, b->slice, task, CONTRACT_SLICE_BYTES);
}

enum { FORKED_NO_EXEC = 0x40 }; /* PF_FORKNOEXEC, linux/sched.h */

/*
 * In the kernel for a probe the program stands behind its breakpoint, where the rules for unwinding
 * may be those of the next instruction; it will go on from the breakpoint itself.
 */
static __always_inline void sample_leave_breakpoint(struct contract_sample *s)
{
#if defined(__TARGET_ARCH_x86)
	u8 before = 0;

	if (!bpf_probe_read_user(&before, 1, (void *)(s->ip - 1)) && before == 0xcc)
		s->ip--;
#endif
}

/* A child may be gone before anybody has read its mappings: until an exec they are its parent's. */
static __always_inline u32 forked_from(struct task_struct *task)
{
	if (!target_many || !(task->flags & FORKED_NO_EXEC))
		return 0;
	return BPF_CORE_READ(task, real_parent, tgid);
}

SEC("perf_event")
int on_cpu_clock(struct bpf_perf_event_data *ctx)
{
	struct sample_deep *b;
	struct contract_sample *s;
	u64 id = bpf_get_current_pid_tgid();
	u32 cpu = bpf_get_smp_processor_id(), want, len;
	long n = 0;

	if (!is_target(id >> 32))
		return 0;
	b = bpf_map_lookup_elem(&sample_buffers, &cpu);
	if (!b)
		return 0;
	s = &b->head;
	s->time_ns = bpf_ktime_get_ns();
	s->pid = id >> 32;
	s->tid = (u32)id;
	s->parent = forked_from(bpf_get_current_task_btf());
	s->in_kernel = regs_in_kernel(ctx);
	regs_read(s, (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf()));
	s->nkernel = 0;
	if (s->in_kernel) {
		sample_leave_breakpoint(s);
		n = bpf_get_stack(ctx, s->kstack, sizeof(s->kstack), 0);
		s->nkernel = n > 0 ? (u32)n / 8 : 0;
	}
	want = sample_depth(bpf_get_current_task_btf(), s->sp);
	if (!want)
		want = sample_slice_bytes;
	if (want > CONTRACT_DEEP_BYTES)
		want = CONTRACT_DEEP_BYTES;
	s->slice = sample_slice_of(b->slice, s->sp, want, CONTRACT_DEEP_BYTES);
	sample_restore_of(s, b->slice, bpf_get_current_task_btf(), CONTRACT_DEEP_BYTES);
	len = sizeof(*s) + s->slice;
	if (len > sizeof(*b))
		return 0;
	__sync_fetch_and_add(&samples_taken, 1);
	if (bpf_ringbuf_output(&samples, b, len,
			       bpf_ringbuf_query(&samples, BPF_RB_AVAIL_DATA) >
					       CONTRACT_SAMPLE_RING / 2
				       ? BPF_RB_FORCE_WAKEUP
				       : BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&samples_lost, 1);
	return 0;
}

#endif
