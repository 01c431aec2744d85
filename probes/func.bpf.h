/* SPDX-License-Identifier: Apache-2.0 */
/* func.bpf.h: latency of user functions and USDT markers. */
#ifndef PERFTOP_FUNC_BPF_H
#define PERFTOP_FUNC_BPF_H

/*
 * The link's process filter selects the target; the attach cookie is the slot. A program may be
 * preempted by another thread's on the same CPU, so everything here is counted atomically. None
 * sleeps, but they are loaded as sleepable: the kernel guards such a run with a few instructions
 * instead of two calls, which makes a timed call 2-4 % cheaper.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct contract_hist);
} func_hist SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct contract_total);
} func_totals SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct contract_compact);
} func_compact SEC(".maps");

/* Of func_totals and func_compact, for each slot; 0: func_hist is in use. */
const volatile __u32 func_copies = 0;

/* Ends without a begin, begins that found no room; by slot. */
__u64 func_unmatched[CONTRACT_FUNC_SLOTS] = {};

/*
 * A slot can be in two links for a while, when one takes the other's place: the upper half of a
 * cookie is the link's turn, and only the one whose turn it is counts. 0: none.
 */
__u8 func_turn[CONTRACT_FUNC_SLOTS] = {};

/*
 * Calls in flight of one thread, for kernels without uprobe sessions, innermost last. A call that
 * began in another turn is none: where its link was, its end may have passed unseen.
 */
enum { FUNC_DEPTH = 32, FUNC_MARKS = 8 };
struct func_frame {
	u64 sp, ns;
	u64 cookie;
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

static __always_inline u32 func_slot(void *ctx)
{
	return (u32)bpf_get_attach_cookie(ctx);
}

static __always_inline bool func_cookie_has_turn(u64 cookie)
{
	u32 slot = (u32)cookie;

	return slot < CONTRACT_FUNC_SLOTS && func_turn[slot] == cookie >> 32;
}

static __always_inline bool func_has_turn(void *ctx)
{
	return func_cookie_has_turn(bpf_get_attach_cookie(ctx));
}

static __always_inline void func_called(u32 slot)
{
	u32 cpu = bpf_get_smp_processor_id(), i = slot * ncpu + cpu;
	struct contract_total *t;
	struct contract_hist *h;

	if (func_copies) {
		i = slot * func_copies + cpu % func_copies;
		t = bpf_map_lookup_elem(&func_totals, &i);
		if (t)
			__sync_fetch_and_add(&t->calls, 1);
		return;
	}
	h = bpf_map_lookup_elem(&func_hist, &i);
	if (h)
		__sync_fetch_and_add(&h->calls, 1);
}

static __always_inline void func_record_compact(u32 i, u64 ns)
{
	struct contract_compact *c = bpf_map_lookup_elem(&func_compact, &i);
	struct contract_total *t = bpf_map_lookup_elem(&func_totals, &i);
	u32 bin = bucket_index(ns) >> CONTRACT_COMPACT_BITS;

	if (!c || !t || bin >= CONTRACT_COMPACT_BINS)
		return;
	__sync_fetch_and_add(&c->bins[bin], 1);
	__sync_fetch_and_add(&t->sum, ns);
	hist_max(&t->max, ns);
	__sync_fetch_and_add(&t->count, 1);
}

static __always_inline void func_record(u32 slot, u64 ns)
{
	u32 cpu = bpf_get_smp_processor_id(), i = slot * ncpu + cpu;
	struct contract_hist *h;

	if (func_copies) {
		func_record_compact(slot * func_copies + cpu % func_copies, ns);
		return;
	}
	h = bpf_map_lookup_elem(&func_hist, &i);
	if (h)
		hist_record_atomic(h, ns);
}

static __always_inline void func_miss(u64 slot)
{
	if (slot < CONTRACT_FUNC_SLOTS)
		__sync_fetch_and_add(&func_unmatched[slot], 1);
}

static __always_inline u64 func_sp(struct pt_regs *ctx)
{
#if defined(__TARGET_ARCH_x86)
	return ctx->sp;
#else
	return ((struct user_pt_regs *)ctx)->sp;
#endif
}

/*
 * One word goes from entry to return: the time, its low 50 bits (13 days), and the slot below it.
 * The kernel clears it before the entry, so that it also tells which of both this is. The clock is
 * read last on entry and first on return, to leave our own work out.
 */
enum { FUNC_SLOT_BITS = 14 };
_Static_assert(CONTRACT_FUNC_SLOTS == 1 << FUNC_SLOT_BITS, "slots fit in the word");

static __always_inline void func_session_return(struct pt_regs *ctx, u64 word, u32 slot)
{
	u64 now = bpf_ktime_get_ns(), ns;

	ns = (now - (word >> FUNC_SLOT_BITS)) & (~0ull >> FUNC_SLOT_BITS);
	barrier_var(ns); /* or the verifier loses its bounds */
	func_record(slot, ns);
	if (tail_on)
		tail_leave(ctx, slot, now - ns, now, true);
}

/* known: the link's cookie, 0 where it is to be asked for. */
static __always_inline int func_session_any(struct pt_regs *ctx, u64 known)
{
	u64 now, cookie, *word = kfunc_session_cookie();
	struct tail_frame *tail = 0;
	u32 slot;

	if (!word)
		return 1;
	if (*word) {
		slot = known ? (u32)known : *word & (CONTRACT_FUNC_SLOTS - 1);
		func_session_return(ctx, *word, slot);
		return 0;
	}
	/* Read once: each call of a helper tells. */
	cookie = known ? known : bpf_get_attach_cookie(ctx);
	slot = (u32)cookie;
	if (!func_cookie_has_turn(cookie))
		return 1; /* no return wanted */
	func_called(slot);
	if (tail_on)
		tail = tail_enter(slot, func_sp(ctx));
	now = bpf_ktime_get_ns();
	*word = now << FUNC_SLOT_BITS | slot;
	if (tail)
		tail->ns = now;
	return 0;
}

SEC("uprobe.s")
int func_session(struct pt_regs *ctx)
{
	return func_session_any(ctx, 0);
}

/* For a link with no other probe than the first slot's, in its first turn. */
SEC("uprobe.s")
int func_session_first(struct pt_regs *ctx)
{
	return func_session_any(ctx, CONTRACT_FUNC_FIRST);
}

SEC("uprobe.s")
int func_pair_entry(struct pt_regs *ctx)
{
	u64 sp = func_sp(ctx), cookie = bpf_get_attach_cookie(ctx), d;
	u32 slot = (u32)cookie;
	struct tail_frame *tail = 0;
	struct func_frames *fs;

	if (!func_cookie_has_turn(cookie))
		return 0;
	func_called(slot);
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

		if (!d || top->sp > sp || (top->sp == sp && top->cookie != cookie))
			break;
		d--;
	}
	if (d >= FUNC_DEPTH) {
		func_miss(slot);
		return 0;
	}
	fs->at[d & (FUNC_DEPTH - 1)].sp = sp;
	fs->at[d & (FUNC_DEPTH - 1)].cookie = cookie;
	fs->depth = d + 1;
	if (tail_on)
		tail = tail_enter(slot, sp);
	fs->at[d & (FUNC_DEPTH - 1)].ns = bpf_ktime_get_ns();
	if (tail)
		tail->ns = fs->at[d & (FUNC_DEPTH - 1)].ns;
	return 0;
}

/* sp: as it was at the entry. */
static __always_inline void func_leave(struct pt_regs *ctx, u64 cookie, u64 sp, u64 now,
				       bool returned)
{
	u64 d;
	u32 slot = (u32)cookie;
	struct func_frames *fs;

	fs = bpf_task_storage_get(&func_frames, bpf_get_current_task_btf(), 0, 0);
	if (!fs)
		return;
	d = fs->depth;
	for (int i = 0; i < FUNC_DEPTH; i++) {
		struct func_frame *top = &fs->at[(d - 1) & (FUNC_DEPTH - 1)];

		if (!d || top->sp > sp)
			break;
		d--;
		if (top->sp == sp && top->cookie == cookie) {
			fs->depth = d;
			func_record(slot, now - top->ns);
			if (tail_on)
				tail_leave(ctx, slot, top->ns, now, returned);
			return;
		}
	}
	fs->depth = d;
	func_miss(slot);
}

SEC("uprobe.s")
int func_pair_return(struct pt_regs *ctx)
{
	u64 now = bpf_ktime_get_ns(), cookie = bpf_get_attach_cookie(ctx), sp = func_sp(ctx);

#if defined(__TARGET_ARCH_x86)
	sp -= 8; /* the return address is off the stack by now */
#endif
	if (func_cookie_has_turn(cookie))
		func_leave(ctx, cookie, sp, now, true);
	return 0;
}

/* At a `ret`, or a jump to another function: the stack is as it was at the entry. */
SEC("uprobe.s")
int func_exit(struct pt_regs *ctx)
{
	u64 now = bpf_ktime_get_ns(), cookie = bpf_get_attach_cookie(ctx);

	if (func_cookie_has_turn(cookie))
		func_leave(ctx, cookie, func_sp(ctx), now, false);
	return 0;
}

static __always_inline void func_counted(void *ctx)
{
	u32 slot = func_slot(ctx), cpu = bpf_get_smp_processor_id(), i = slot * ncpu + cpu;
	struct contract_total *t;
	struct contract_hist *h;

	func_called(slot);
	if (func_copies) {
		i = slot * func_copies + cpu % func_copies;
		t = bpf_map_lookup_elem(&func_totals, &i);
		if (t)
			__sync_fetch_and_add(&t->count, 1);
		return;
	}
	h = bpf_map_lookup_elem(&func_hist, &i);
	if (h)
		__sync_fetch_and_add(&h->count, 1);
}

/* An entry or a marker that is only counted. */
SEC("uprobe.s")
int func_count(void *ctx)
{
	if (func_has_turn(ctx))
		func_counted(ctx);
	return 0;
}

SEC("uprobe.s")
int func_mark_begin(void *ctx)
{
	u64 slot = func_slot(ctx), key = slot + 1;
	struct func_marks *m;
	int room = -1;

	if (!func_has_turn(ctx))
		return 0;
	func_called(slot);
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

SEC("uprobe.s")
int func_mark_end(void *ctx)
{
	u64 now = bpf_ktime_get_ns(), slot = func_slot(ctx);
	struct func_marks *m;

	if (!func_has_turn(ctx))
		return 0;
	m = bpf_task_storage_get(&func_marks, bpf_get_current_task_btf(), 0, 0);
	for (int i = 0; m && i < FUNC_MARKS; i++) {
		if (m->at[i].key != slot + 1)
			continue;
		m->at[i].key = 0;
		func_record(slot, now - m->at[i].ns);
		return 0;
	}
	func_miss(slot);
	return 0;
}

#endif
