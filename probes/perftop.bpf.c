/* SPDX-License-Identifier: Apache-2.0 */
/* perftop.bpf.c: the one eBPF object; each probe family is a file of its own, included here. */
#include "probes/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "probes/contract.h"

char LICENSE[] SEC("license") = "GPL";

/* Set before load; the verifier then drops what the target does not need. */
const volatile __u32 target_tgid = 0;
const volatile __u32 ncpu = 1;
const volatile __u32 target_many = 0; /* more than one process: those of `targets` too */

__u32 target_gone = 0; /* it has ended: whoever has its pid now is a stranger */

const volatile __u32 tail_on = 0; /* slow calls of probed functions leave evidence */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CONTRACT_TARGETS);
	__type(key, u32);   /* tgid */
	__type(value, u32); /* of its parent, or 0 */
} targets SEC(".maps");

static __always_inline bool is_target(u32 tgid)
{
	if (tgid == target_tgid && !target_gone)
		return true;
	return target_many && bpf_map_lookup_elem(&targets, &tgid);
}

#include "probes/kfunc.bpf.h"
#include "probes/regs.bpf.h"
#include "probes/follow.bpf.h"
#include "probes/hist.bpf.h"
#include "probes/place.bpf.h"
#include "probes/poll.bpf.h"
#include "probes/thread.bpf.h"
#include "probes/sched.bpf.h"
#include "probes/heap.bpf.h"
#include "probes/fd.bpf.h"
#include "probes/turn.bpf.h"
#include "probes/loop.bpf.h"
#include "probes/syscall.bpf.h"
#include "probes/block.bpf.h"
#include "probes/sample.bpf.h"
#include "probes/fault.bpf.h"
#include "probes/wait_stack.bpf.h"
#include "probes/tail.bpf.h"
#include "probes/func.bpf.h"
#include "probes/func_go.bpf.h"
