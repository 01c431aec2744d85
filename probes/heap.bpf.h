/* SPDX-License-Identifier: Apache-2.0 */
/* heap.bpf.h: bytes of the calls by which an allocator gets memory and gives it back. */
#ifndef PERFTOP_HEAP_BPF_H
#define PERFTOP_HEAP_BPF_H

/* Numbers and flags are the kernel's own interface and never change. */
#if defined(__TARGET_ARCH_x86)
enum { NR_MMAP = 9, NR_MUNMAP = 11, NR_BRK = 12, NR_MADVISE = 28 };
#define HEAP_ARG(regs, x86, arm) ((regs)->x86)
#else
enum { NR_MMAP = 222, NR_MUNMAP = 215, NR_BRK = 214, NR_MADVISE = 233 };
#define HEAP_ARG(regs, x86, arm) ((regs)->user_regs.regs[arm])
#endif
enum { HEAP_MAP_ANONYMOUS = 0x20, HEAP_MADV_DONTNEED = 4, HEAP_MADV_FREE = 8 };

/* By enum contract_heap_call; of the first process alone. */
__u64 heap_calls[CONTRACT_HEAP_CALLS] = {};
__u64 heap_bytes[CONTRACT_HEAP_CALLS] = {};
__u64 heap_break = 0; /* as the last brk left it */

static __always_inline void heap_add(u32 call, u64 bytes)
{
	__sync_fetch_and_add(&heap_calls[call], 1);
	__sync_fetch_and_add(&heap_bytes[call], bytes);
}

static __always_inline void heap_brk(u64 now)
{
	u64 before = heap_break;

	heap_break = now;
	if (!before || now == before)
		return;
	if (now > before)
		heap_add(CONTRACT_HEAP_BRK_UP, now - before);
	else
		heap_add(CONTRACT_HEAP_BRK_DOWN, before - now);
}

/* At the exit of any call: its arguments are still in the registers. */
static __always_inline void heap_syscall(struct pt_regs *regs, u32 nr, long ret)
{
	u32 tgid;
	u64 advice;

	if (nr != NR_MMAP && nr != NR_MUNMAP && nr != NR_BRK && nr != NR_MADVISE)
		return;
	tgid = bpf_get_current_pid_tgid() >> 32;
	if (tgid != target_tgid || target_gone || (ret < 0 && ret > -4096))
		return;
	if (nr == NR_BRK) {
		heap_brk((u64)ret);
	} else if (nr == NR_MMAP) {
		if (HEAP_ARG(regs, r10, 3) & HEAP_MAP_ANONYMOUS)
			heap_add(CONTRACT_HEAP_MMAP, HEAP_ARG(regs, si, 1));
	} else if (nr == NR_MUNMAP) {
		heap_add(CONTRACT_HEAP_MUNMAP, HEAP_ARG(regs, si, 1));
	} else {
		advice = HEAP_ARG(regs, dx, 2);
		if (advice == HEAP_MADV_DONTNEED || advice == HEAP_MADV_FREE)
			heap_add(CONTRACT_HEAP_MADVISE, HEAP_ARG(regs, si, 1));
	}
}

#endif
