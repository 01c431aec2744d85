/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kfunc.bpf.h: calls of kernel functions. Not as libbpf's __ksym: for that it would read all of the
 * kernel's types, 10 ms of perftop's start.
 */
#ifndef PERFTOP_KFUNC_BPF_H
#define PERFTOP_KFUNC_BPF_H

const volatile __u32 kfunc_has_cast = 0; /* Linux 6.2; set before load */

/* The call's opcode; kfuncs are told from helpers by the 2. */
#define KFUNC_CALL ".byte 0x85, 0x20, 0, 0\n\t.long %[func]"

/* obj as a struct of the kernel that is read by plain loads; without kfunc_has_cast: as it is. */
#define KFUNC_CAST(obj, type)                                              \
	({                                                                 \
		register void *kfunc_ret asm("r0");                        \
		register const void *kfunc_arg asm("r1") = (obj);          \
		asm volatile("r2 = %[kind]\n\t" KFUNC_CALL                 \
			     : "=r"(kfunc_ret), "+r"(kfunc_arg)            \
			     : [func] "i"(CONTRACT_KFUNC_bpf_rdonly_cast), \
			       [kind] "i"(CONTRACT_KTYPE_##type)           \
			     : "r2", "r3", "r4", "r5");                    \
		(struct type *)kfunc_ret;                                  \
	})

/*
 * A task whose members lead on to others: for each such step the verifier of Linux 6.3 and later
 * goes through all type names of the kernel four times, a millisecond, where the task is one that
 * it trusts.
 */
static __always_inline struct task_struct *kfunc_plain(struct task_struct *task)
{
	return KFUNC_CAST(task, task_struct);
}

/* A word of this call of a function, kept from its entry to its return: Linux 6.10 or so. */
static __always_inline u64 *kfunc_session_cookie(void)
{
	register u64 *ret asm("r0");

	asm volatile(KFUNC_CALL
		     : "=r"(ret)
		     : [func] "i"(CONTRACT_KFUNC_bpf_session_cookie)
		     : "r1", "r2", "r3", "r4", "r5");
	return ret;
}

#endif
