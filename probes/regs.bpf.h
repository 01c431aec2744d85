/* SPDX-License-Identifier: Apache-2.0 */
/* regs.bpf.h: the registers of a task, by what they mean on each architecture. */
#ifndef PERFTOP_REGS_BPF_H
#define PERFTOP_REGS_BPF_H

/*
 * regs_syscall   number of the system call that the task is in; negative: in none, an exception
 * regs_arg0 to 4 its arguments, also at its exit
 * regs_read_*    the same where the verifier wants a probing read
 * regs_read      all that a sample holds, by probing reads
 * regs_copy      the same from the context of a uprobe program
 * regs_row       the same for the task iterator
 * regs_thread_pointer  of the current task
 */
#if defined(__TARGET_ARCH_x86)

static __always_inline long regs_syscall(const struct pt_regs *r)
{
	return (long)r->orig_ax;
}

static __always_inline u64 regs_arg0(const struct pt_regs *r)
{
	return r->di;
}

static __always_inline u64 regs_arg1(const struct pt_regs *r)
{
	return r->si;
}

static __always_inline u64 regs_arg2(const struct pt_regs *r)
{
	return r->dx;
}

static __always_inline u64 regs_arg3(const struct pt_regs *r)
{
	return r->r10;
}

static __always_inline u64 regs_arg4(const struct pt_regs *r)
{
	return r->r8;
}

static __always_inline long regs_read_syscall(struct pt_regs *r)
{
	return (long)BPF_CORE_READ(r, orig_ax);
}

static __always_inline u64 regs_read_arg0(struct pt_regs *r)
{
	return BPF_CORE_READ(r, di);
}

static __always_inline void regs_read(struct contract_sample *s, struct pt_regs *r)
{
	s->ip = BPF_CORE_READ(r, ip);
	s->sp = BPF_CORE_READ(r, sp);
	s->bp = BPF_CORE_READ(r, bp);
	s->regs[0] = BPF_CORE_READ(r, bx);
	s->regs[1] = BPF_CORE_READ(r, r12);
	s->regs[2] = BPF_CORE_READ(r, r13);
	s->regs[3] = BPF_CORE_READ(r, r14);
	s->regs[4] = BPF_CORE_READ(r, r15);
}

#define REGS_COPY(to, r)                 \
	do {                             \
		(to)->ip = (r).ip;       \
		(to)->sp = (r).sp;       \
		(to)->bp = (r).bp;       \
		(to)->regs[0] = (r).bx;  \
		(to)->regs[1] = (r).r12; \
		(to)->regs[2] = (r).r13; \
		(to)->regs[3] = (r).r14; \
		(to)->regs[4] = (r).r15; \
	} while (0)

static __always_inline void regs_copy(struct contract_sample *s, const struct pt_regs *r)
{
	REGS_COPY(s, *r);
}

static __always_inline void regs_row(struct contract_thread *row, const struct pt_regs *r)
{
	REGS_COPY(row, *r);
}

static __always_inline u64 regs_thread_pointer(const struct task_struct *current)
{
	return current->thread.fsbase;
}

/* Volatile: the compiler would load one byte, and only whole words may be read. */
static __always_inline bool regs_in_kernel(const struct bpf_perf_event_data *ctx)
{
	return (*(volatile u64 *)&ctx->regs.cs & 3) != 3;
}

#elif defined(__TARGET_ARCH_arm64)

static __always_inline long regs_syscall(const struct pt_regs *r)
{
	return r->syscallno;
}

/* x0 is the result by then. */
static __always_inline u64 regs_arg0(const struct pt_regs *r)
{
	return r->orig_x0;
}

static __always_inline u64 regs_arg1(const struct pt_regs *r)
{
	return r->user_regs.regs[1];
}

static __always_inline u64 regs_arg2(const struct pt_regs *r)
{
	return r->user_regs.regs[2];
}

static __always_inline u64 regs_arg3(const struct pt_regs *r)
{
	return r->user_regs.regs[3];
}

static __always_inline u64 regs_arg4(const struct pt_regs *r)
{
	return r->user_regs.regs[4];
}

static __always_inline long regs_read_syscall(struct pt_regs *r)
{
	return BPF_CORE_READ(r, syscallno);
}

static __always_inline u64 regs_read_arg0(struct pt_regs *r)
{
	return BPF_CORE_READ(r, orig_x0);
}

static __always_inline void regs_read(struct contract_sample *s, struct pt_regs *r)
{
	s->ip = BPF_CORE_READ(r, user_regs.pc);
	s->sp = BPF_CORE_READ(r, user_regs.sp);
	s->bp = BPF_CORE_READ(r, user_regs.regs[29]);
	for (int i = 0; i < 10; i++)
		s->regs[i] = BPF_CORE_READ(r, user_regs.regs[19 + i]);
	s->regs[10] = BPF_CORE_READ(r, user_regs.regs[30]);
}

#define REGS_COPY(to, r)                                  \
	do {                                              \
		(to)->ip = (r).pc;                        \
		(to)->sp = (r).sp;                        \
		(to)->bp = (r).regs[29];                  \
		for (int i = 0; i < 10; i++)              \
			(to)->regs[i] = (r).regs[19 + i]; \
		(to)->regs[10] = (r).regs[30];            \
	} while (0)

static __always_inline void regs_copy(struct contract_sample *s, const struct pt_regs *ctx)
{
	REGS_COPY(s, *(const struct user_pt_regs *)ctx);
}

static __always_inline void regs_row(struct contract_thread *row, const struct pt_regs *r)
{
	REGS_COPY(row, r->user_regs);
}

static __always_inline u64 regs_thread_pointer(const struct task_struct *current)
{
	return current->thread.uw.tp_value;
}

/* PSTATE.M: 0 is EL0, user space. */
static __always_inline bool regs_in_kernel(const struct bpf_perf_event_data *ctx)
{
	return (*(volatile u64 *)&ctx->regs.pstate & 0xf) != 0;
}

#endif
#endif
