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

static __always_inline bool is_target(void)
{
	return (bpf_get_current_pid_tgid() >> 32) == target_tgid;
}

#include "probes/hist.bpf.h"
#include "probes/sched.bpf.h"
#include "probes/syscall.bpf.h"
#include "probes/sample.bpf.h"
#include "probes/func.bpf.h"
