/* SPDX-License-Identifier: Apache-2.0 */
/* func_go.bpf.h: latency of Go functions, whose calls are a goroutine's and not a thread's. */
#ifndef PERFTOP_FUNC_GO_BPF_H
#define PERFTOP_FUNC_GO_BPF_H

/*
 * Calls in flight of goroutines, which change their threads, and whose stacks are copied when they
 * grow: what stays is how far below its stack's end a frame lies. A call that a panic ended stays
 * until the next at its place.
 */
struct func_go_key {
	u64 goroutine, depth;
	u32 slot, tgid;
};
struct func_go_call {
	u64 ns, cookie;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct func_go_key);
	__type(value, struct func_go_call);
} func_go_calls SEC(".maps");

/*
 * r14 is the goroutine in Go's calling convention, stack.hi its second word (runtime2.go, struct
 * g). On other machines no Go function is measured.
 */
static __always_inline bool func_go_key(struct pt_regs *ctx, struct func_go_key *key)
{
#if defined(__TARGET_ARCH_x86)
	u64 hi = 0;

	if (bpf_probe_read_user(&hi, sizeof(hi), (void *)(ctx->r14 + 8)))
		return false;
	*key = (struct func_go_key){.goroutine = ctx->r14,
				    .depth = hi - ctx->sp,
				    .slot = func_slot(ctx),
				    .tgid = bpf_get_current_pid_tgid() >> 32};
	return true;
#else
	return false;
#endif
}

/* At the jump behind the comparison of stack pointer and limit: it comes again once it has grown.
 */
static __always_inline bool func_go_stack_grows(struct pt_regs *ctx)
{
#if defined(__TARGET_ARCH_x86)
	return ctx->flags & 0x41; /* carry or zero: jbe jumps */
#else
	return false;
#endif
}

static __always_inline void func_go_begin(struct pt_regs *ctx)
{
	struct func_go_call call = {.cookie = bpf_get_attach_cookie(ctx)}, *begun = 0;
	struct func_go_key key;

	func_called((u32)call.cookie);
	if (func_go_key(ctx, &key) && !bpf_map_update_elem(&func_go_calls, &key, &call, BPF_ANY))
		begun = bpf_map_lookup_elem(&func_go_calls, &key);
	if (begun)
		begun->ns = bpf_ktime_get_ns();
	else
		func_miss((u32)call.cookie);
}

SEC("uprobe.s")
int func_go_entry(struct pt_regs *ctx)
{
	if (func_has_turn(ctx))
		func_go_begin(ctx);
	return 0;
}

SEC("uprobe.s")
int func_go_checked(struct pt_regs *ctx)
{
	if (func_has_turn(ctx) && !func_go_stack_grows(ctx))
		func_go_begin(ctx);
	return 0;
}

SEC("uprobe.s")
int func_go_exit(struct pt_regs *ctx)
{
	u64 now = bpf_ktime_get_ns(), cookie = bpf_get_attach_cookie(ctx);
	struct func_go_call *begun = 0;
	struct func_go_key key;

	if (!func_cookie_has_turn(cookie))
		return 0;
	if (func_go_key(ctx, &key))
		begun = bpf_map_lookup_elem(&func_go_calls, &key);
	if (!begun || begun->cookie != cookie) {
		func_miss((u32)cookie);
		return 0;
	}
	func_record((u32)cookie, now - begun->ns);
	bpf_map_delete_elem(&func_go_calls, &key);
	return 0;
}

SEC("uprobe.s")
int func_go_count(struct pt_regs *ctx)
{
	if (func_has_turn(ctx) && !func_go_stack_grows(ctx))
		func_counted(ctx);
	return 0;
}

#endif
