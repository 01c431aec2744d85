/* SPDX-License-Identifier: Apache-2.0 */
/* func.bpf.h: latency of user functions and USDT markers. */
#ifndef PERFTOP_FUNC_BPF_H
#define PERFTOP_FUNC_BPF_H

/*
 * The link's process filter selects the target; the attach cookie is the slot. A program may be
 * preempted by another thread's on the same CPU, so everything here is counted atomically.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct contract_hist);
} func_hist SEC(".maps");

/* Ends without a begin, begins that found no room; by slot. */
__u64 func_unmatched[CONTRACT_FUNC_SLOTS] = {};

/* Calls in flight of one thread, for kernels without uprobe sessions, innermost last. */
enum { FUNC_DEPTH = 32, FUNC_MARKS = 8 };
struct func_frame {
	u64 sp, ns;
	u64 slot;
};
struct func_frames {
	u64 depth;
	struct func_frame at[FUNC_DEPTH];
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct func_frames);
} func_frames SEC(".maps");

/* Begin markers of one thread that wait for their end; key is slot + 1, 0 is free. */
struct func_marks {
	struct {
		u64 key, ns;
	} at[FUNC_MARKS];
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct func_marks);
} func_marks SEC(".maps");

extern bool bpf_session_is_return(void) __ksym __weak;
extern __u64 *bpf_session_cookie(void) __ksym __weak;

static __always_inline struct contract_hist *func_slot(void *ctx)
{
	u32 i = (u32)bpf_get_attach_cookie(ctx) * ncpu + bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&func_hist, &i);
}

static __always_inline void func_miss(u64 slot)
{
	if (slot < CONTRACT_FUNC_SLOTS)
		__sync_fetch_and_add(&func_unmatched[slot], 1);
}

/* The clock is read last on entry and first on return, to leave our own work out. */
SEC("uprobe")
int func_session(void *ctx)
{
	struct contract_hist *h;
	u64 now, *begin;

	if (bpf_session_is_return()) {
		now = bpf_ktime_get_ns();
		begin = bpf_session_cookie();
		h = func_slot(ctx);
		if (h && begin)
			hist_record_atomic(h, now - *begin);
		return 0;
	}
	h = func_slot(ctx);
	begin = bpf_session_cookie();
	if (h)
		__sync_fetch_and_add(&h->calls, 1);
	if (begin)
		*begin = bpf_ktime_get_ns();
	return 0;
}

static __always_inline u64 func_sp(struct pt_regs *ctx)
{
#if defined(__TARGET_ARCH_x86)
	return ctx->sp;
#else
	return ((struct user_pt_regs *)ctx)->sp;
#endif
}

SEC("uprobe")
int func_pair_entry(struct pt_regs *ctx)
{
	struct contract_hist *h = func_slot(ctx);
	u64 sp = func_sp(ctx), slot = bpf_get_attach_cookie(ctx), d;
	struct func_frames *fs;

	if (h)
		__sync_fetch_and_add(&h->calls, 1);
	fs = bpf_task_storage_get(&func_frames, bpf_get_current_task_btf(), 0,
				  BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!fs) {
		func_miss(slot);
		return 0;
	}
	/* Stacks grow down: frames below this one were left without a return (longjmp, throw). */
	d = fs->depth;
	for (int i = 0; i < FUNC_DEPTH; i++) {
		struct func_frame *top = &fs->at[(d - 1) & (FUNC_DEPTH - 1)];

		if (!d || top->sp > sp || (top->sp == sp && top->slot != slot))
			break;
		d--;
	}
	if (d >= FUNC_DEPTH) {
		func_miss(slot);
		return 0;
	}
	fs->at[d & (FUNC_DEPTH - 1)].sp = sp;
	fs->at[d & (FUNC_DEPTH - 1)].slot = slot;
	fs->depth = d + 1;
	fs->at[d & (FUNC_DEPTH - 1)].ns = bpf_ktime_get_ns();
	return 0;
}

SEC("uprobe")
int func_pair_return(struct pt_regs *ctx)
{
	u64 now = bpf_ktime_get_ns(), slot = bpf_get_attach_cookie(ctx), sp = func_sp(ctx), d;
	struct contract_hist *h = func_slot(ctx);
	struct func_frames *fs;

#if defined(__TARGET_ARCH_x86)
	sp -= 8; /* the return address is off the stack by now */
#endif
	fs = bpf_task_storage_get(&func_frames, bpf_get_current_task_btf(), 0, 0);
	if (!fs || !h)
		return 0;
	d = fs->depth;
	for (int i = 0; i < FUNC_DEPTH; i++) {
		struct func_frame *top = &fs->at[(d - 1) & (FUNC_DEPTH - 1)];

		if (!d || top->sp > sp)
			break;
		d--;
		if (top->sp == sp && top->slot == slot) {
			fs->depth = d;
			hist_record_atomic(h, now - top->ns);
			return 0;
		}
	}
	fs->depth = d;
	func_miss(slot);
	return 0;
}

/* An entry or a marker that is only counted. */
SEC("uprobe")
int func_count(void *ctx)
{
	struct contract_hist *h = func_slot(ctx);

	if (h) {
		__sync_fetch_and_add(&h->calls, 1);
		__sync_fetch_and_add(&h->count, 1);
	}
	return 0;
}

SEC("uprobe")
int func_mark_begin(void *ctx)
{
	struct contract_hist *h = func_slot(ctx);
	u64 slot = bpf_get_attach_cookie(ctx), key = slot + 1;
	struct func_marks *m;
	int room = -1;

	if (h)
		__sync_fetch_and_add(&h->calls, 1);
	m = bpf_task_storage_get(&func_marks, bpf_get_current_task_btf(), 0,
				 BPF_LOCAL_STORAGE_GET_F_CREATE);
	for (int i = FUNC_MARKS - 1; m && i >= 0; i--) {
		if (m->at[i].key == key) {
			func_miss(slot); /* the begin before it never ended */
			room = i;
			break;
		}
		if (!m->at[i].key)
			room = i;
	}
	if (!m || room < 0) {
		func_miss(slot);
		return 0;
	}
	m->at[room & (FUNC_MARKS - 1)].key = key;
	m->at[room & (FUNC_MARKS - 1)].ns = bpf_ktime_get_ns();
	return 0;
}

SEC("uprobe")
int func_mark_end(void *ctx)
{
	u64 now = bpf_ktime_get_ns(), slot = bpf_get_attach_cookie(ctx);
	struct contract_hist *h = func_slot(ctx);
	struct func_marks *m;

	m = bpf_task_storage_get(&func_marks, bpf_get_current_task_btf(), 0, 0);
	for (int i = 0; m && h && i < FUNC_MARKS; i++) {
		if (m->at[i].key != slot + 1)
			continue;
		m->at[i].key = 0;
		hist_record_atomic(h, now - m->at[i].ns);
		return 0;
	}
	func_miss(slot);
	return 0;
}

#endif
