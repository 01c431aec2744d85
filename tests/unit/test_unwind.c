/* SPDX-License-Identifier: Apache-2.0 */
/* test_unwind.c: stacks taken from registers and a copy of the stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "collectors/sampler.h"
#include "collectors/unwind.h"

#ifdef __x86_64__

enum { SLICE_MAX = 32768 };

struct capture {
	struct unwind_regs regs;
	uint8_t slice[SLICE_MAX];
	size_t size;
};

static void regs_from_user(const struct user_regs_struct *u, struct unwind_regs *r)
{
	const uint64_t dwarf[17] = {u->rax, u->rdx, u->rcx, u->rbx, u->rsi, u->rdi,
				    u->rbp, u->rsp, u->r8,  u->r9,  u->r10, u->r11,
				    u->r12, u->r13, u->r14, u->r15, u->rip};

	memset(r, 0, sizeof(*r));
	memcpy(r->r, dwarf, sizeof(dwarf));
}

/* Up to the end of the stack, or `limit` bytes. */
static void capture_slice(struct capture *c, int pid, size_t limit)
{
	uint64_t sp = c->regs.r[7];

	c->size = 0;
	while (c->size < limit) {
		size_t n = 4096 - ((sp + c->size) & 4095);
		struct iovec local, remote;

		n = n < limit - c->size ? n : limit - c->size;
		local = (struct iovec){.iov_base = c->slice + c->size, .iov_len = n};
		remote =
			(struct iovec){.iov_base = (void *)(uintptr_t)(sp + c->size), .iov_len = n};
		if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != (ssize_t)n)
			return;
		c->size += n;
	}
}

/* ---- another process: tests/targets/deep beside this program ----------------------------------
 */

static int deep_start(const char *arg)
{
	char self[PATH_MAX], path[PATH_MAX + 32], byte;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int fds[2], pid;
	char *slash;

	assert_true(n > 0);
	self[n] = '\0';
	for (int up = 0; up < 2; up++) {
		slash = strrchr(self, '/');
		assert_non_null(slash);
		*slash = '\0';
	}
	snprintf(path, sizeof(path), "%s/targets/deep", self);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], 1);
		execl(path, path, arg, NULL);
		_exit(127);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	return pid;
}

static void deep_stop(int pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, __WALL);
}

/* Stop it where it stands, once the pc is in the function called `leaf`. */
static void deep_capture(int pid, struct symbols *s, const char *leaf, struct capture *c)
{
	for (int tries = 0; tries < 2000; tries++) {
		struct user_regs_struct u;
		struct symbol y;
		int status;

		assert_int_equal(ptrace(PTRACE_SEIZE, pid, NULL, NULL), 0);
		assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, __WALL), pid);
		assert_true(WIFSTOPPED(status));
		assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &u), 0);
		symbols_refresh(s);
		symbols_lookup(s, u.rip, &y);
		if (!strcmp(y.name, leaf)) {
			regs_from_user(&u, &c->regs);
			capture_slice(c, pid, SLICE_MAX);
		}
		/* A signal on its way is passed on, not swallowed. */
		ptrace(PTRACE_DETACH, pid, NULL,
		       (void *)(uintptr_t)(status >> 16 ? 0 : WSTOPSIG(status)));
		if (c->size)
			return;
		usleep(1000);
	}
	fail_msg("the program never reached %s", leaf);
}

static const char *frame_name(struct symbols *s, const uint64_t *pcs, uint32_t i)
{
	struct symbol y;

	symbols_lookup(s, pcs[i] - (i > 0), &y);
	return y.name;
}

static void assert_chain(struct symbols *s, const uint64_t *pcs, uint32_t n,
			 const char *const *chain)
{
	uint32_t at = 0;

	/* In order, with frames of libc in between. */
	for (uint32_t i = 0; i < n && chain[at]; i++)
		at += !strcmp(frame_name(s, pcs, i), chain[at]);
	if (chain[at]) {
		for (uint32_t i = 0; i < n; i++)
			print_message("  %s\n", frame_name(s, pcs, i));
		fail_msg("%s is missing", chain[at]);
	}
}

static void check_deep(const char *arg, const char *const *chain)
{
	struct capture *c = calloc(1, sizeof(*c));
	int pid = deep_start(arg);
	struct symbols *s = symbols_new(pid);
	struct unwinder *u = unwind_new(s);
	uint64_t pcs[UNWIND_MAX_FRAMES];
	enum unwind_end end;
	uint32_t n;

	assert_int_equal(symbols_refresh(s), 0);
	deep_capture(pid, s, "deep_spin", c);
	for (int again = 0; again < 2; again++) {
		n = unwind_stack(u, &c->regs, c->slice, c->size, pcs, UNWIND_MAX_FRAMES, &end);
		assert_chain(s, pcs, n, chain);
		assert_int_equal(end, UNWIND_COMPLETE);
	}
	assert_true(unwind_stats(u)->hits > 0);
	assert_int_equal(unwind_stats(u)->fp_frames, 0);
	unwind_free(u);
	symbols_free(s);
	deep_stop(pid);
	free(c);
}

static void a_chain_without_frame_pointers_is_whole(void **state)
{
	static const char *const chain[] = {"deep_spin", "deep_d", "deep_c", "deep_b",
					    "deep_a",	 "main",   "_start", NULL};

	check_deep("plain", chain);
}

static void a_signal_handler_shows_what_it_interrupted(void **state)
{
	static const char *const chain[] = {"deep_spin", "deep_handler", "raise",
					    "deep_d",	 "deep_c",	 "deep_b",
					    "deep_a",	 "main",	 "_start",
					    NULL};

	check_deep("signal", chain);
}

static void a_slice_too_short_is_said_to_be_cut(void **state)
{
	struct capture *c = calloc(1, sizeof(*c));
	int pid = deep_start("plain");
	struct symbols *s = symbols_new(pid);
	struct unwinder *u = unwind_new(s);
	uint64_t pcs[UNWIND_MAX_FRAMES], whole[UNWIND_MAX_FRAMES];
	enum unwind_end end;
	uint32_t n, all;

	assert_int_equal(symbols_refresh(s), 0);
	deep_capture(pid, s, "deep_spin", c);
	all = unwind_stack(u, &c->regs, c->slice, c->size, whole, UNWIND_MAX_FRAMES, &end);
	for (size_t size = 0; size < 2048; size += 64) {
		n = unwind_stack(u, &c->regs, c->slice, size, pcs, UNWIND_MAX_FRAMES, &end);
		assert_int_equal(end, UNWIND_TRUNCATED);
		assert_true(n >= 1 && n < all);
		assert_memory_equal(pcs, whole, n * sizeof(*pcs));
	}
	n = unwind_stack(u, &c->regs, c->slice, c->size, pcs, 3, &end);
	assert_int_equal(n, 3);
	assert_int_equal(end, UNWIND_TRUNCATED);
	unwind_free(u);
	symbols_free(s);
	deep_stop(pid);
	free(c);
}

/* ---- this process -----------------------------------------------------------------------------
 */

/* Registers and stack of the function that calls this one, up to the thread's start. */
static __attribute__((noinline)) void capture_self(struct capture *c)
{
	ucontext_t uc;
	const greg_t *g = uc.uc_mcontext.gregs;
	struct unwind_regs *r = &c->regs;

	getcontext(&uc);
	memset(r, 0, sizeof(*r));
	r->r[3] = (uint64_t)g[REG_RBX];
	r->r[6] = (uint64_t)g[REG_RBP];
	r->r[7] = (uint64_t)g[REG_RSP];
	for (int i = 8; i < 16; i++)
		r->r[i] = (uint64_t)g[REG_R8 + i - 8];
	r->r[16] = (uint64_t)g[REG_RIP];
	capture_slice(c, getpid(), SLICE_MAX);
}

static void *thread_main(void *arg)
{
	capture_self(arg);
	__asm__ volatile("" ::: "memory");
	return arg;
}

static void a_thread_ends_at_its_start(void **state)
{
	struct capture *c = calloc(1, sizeof(*c));
	struct symbols *s = symbols_new(getpid());
	struct unwinder *u = unwind_new(s);
	uint64_t pcs[UNWIND_MAX_FRAMES];
	enum unwind_end end;
	pthread_t t;
	uint32_t n;

	assert_int_equal(symbols_refresh(s), 0);
	assert_int_equal(pthread_create(&t, NULL, thread_main, c), 0);
	pthread_join(t, NULL);
	n = unwind_stack(u, &c->regs, c->slice, c->size, pcs, UNWIND_MAX_FRAMES, &end);
	assert_chain(s, pcs, n, (const char *const[]){"capture_self", "thread_main", NULL});
	assert_int_equal(end, UNWIND_COMPLETE);
	unwind_free(u);
	symbols_free(s);
	free(c);
}

typedef void callback_fn(struct capture *);

/* Code that no file describes, with a frame pointer, as JIT compilers make it. */
static void code_without_tables_is_crossed_by_frame_pointer(void **state)
{
	static const uint8_t code[] = {
		0x55,		  /* push %rbp */
		0x48, 0x89, 0xe5, /* mov %rsp,%rbp */
		0x48, 0x89, 0xf8, /* mov %rdi,%rax */
		0x48, 0x89, 0xf7, /* mov %rsi,%rdi */
		0xff, 0xd0,	  /* call *%rax */
		0x5d, 0xc3,	  /* pop %rbp; ret */
	};
	struct capture *c = calloc(1, sizeof(*c));
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct symbols *s = symbols_new(getpid());
	struct unwinder *u = unwind_new(s);
	uint64_t pcs[UNWIND_MAX_FRAMES];
	void (*jit)(callback_fn *, struct capture *);
	enum unwind_end end;
	uint32_t n;

	assert_ptr_not_equal(page, MAP_FAILED);
	memcpy(page, code, sizeof(code));
	assert_int_equal(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
	memcpy(&jit, &page, sizeof(jit));
	assert_int_equal(symbols_refresh(s), 0);
	jit(capture_self, c);
	n = unwind_stack(u, &c->regs, c->slice, c->size, pcs, UNWIND_MAX_FRAMES, &end);
	assert_true(n > 4);
	assert_int_equal(pcs[1], (uint64_t)(uintptr_t)page + 12);
	assert_string_equal(frame_name(s, pcs, 2),
			    "code_without_tables_is_crossed_by_frame_pointer");
	assert_int_equal(end, UNWIND_COMPLETE);
	assert_int_equal(unwind_stats(u)->fp_frames, 1);
	unwind_free(u);
	symbols_free(s);
	munmap(page, 4096);
	free(c);
}

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* The stack is the target's to write: any bytes must end the walk, and soon. */
static void a_stack_of_garbage_ends_the_walk(void **state)
{
	struct capture *c = calloc(1, sizeof(*c));
	struct symbols *s = symbols_new(getpid());
	struct unwinder *u = unwind_new(s);
	const struct symbols_module *m;
	uint64_t x = 88172645463325252ull, pcs[UNWIND_MAX_FRAMES], sp;
	enum unwind_end end;

	assert_int_equal(symbols_refresh(s), 0);
	capture_self(c);
	m = symbols_module_at(s, c->regs.r[16]);
	assert_non_null(m);
	sp = c->regs.r[7];
	for (int round = 0; round < 20000; round++) {
		struct unwind_regs regs = c->regs;
		size_t size = next_random(&x) % 4096;

		/* Words that look like code or stack lead further than noise does. */
		for (size_t i = 0; i + 8 <= size; i += 8) {
			uint64_t v = next_random(&x);

			v = v & 1   ? m->start + v % (m->end - m->start)
			    : v & 2 ? sp + (v >> 2) % 4096
				    : v;
			memcpy(c->slice + i, &v, 8);
		}
		for (int i = 0; i < 16; i++)
			regs.r[i] = i == 7 ? sp : sp + next_random(&x) % 8192;
		regs.r[16] = m->start + next_random(&x) % (m->end - m->start);
		assert_true(unwind_stack(u, &regs, c->slice, size, pcs, UNWIND_MAX_FRAMES, &end) <=
			    UNWIND_MAX_FRAMES);
	}
	/* A stack pointer at the end of the address space must not wrap. */
	c->regs.r[7] = UINT64_MAX - 7;
	unwind_stack(u, &c->regs, c->slice, SLICE_MAX, pcs, UNWIND_MAX_FRAMES, &end);
	unwind_free(u);
	symbols_free(s);
	free(c);
}

/* Where the kernel's trampoline for return probes is at `offset`, what is above the stack pointer.
 */
static void leave_trampoline(uint64_t offset, uint64_t return_ip, uint64_t pushed, uint64_t *ip,
			     uint64_t *sp)
{
	static const uint64_t slots[4] = {11, 22, 0x401000, 44};
	struct sampler_sample s = {.slice = slots,
				   .slice_bytes = sizeof(slots),
				   .return_ip = return_ip,
				   .return_at = 0x7000 + pushed - 8};

	s.regs.r[7] = 0x7000;
	s.regs.r[16] = 0x10000 + offset;
	sampler_leave_trampoline(&s, offset);
	*ip = s.regs.r[16];
	*sp = s.regs.r[7];
	assert_int_equal(s.slice_bytes, sizeof(slots) - (*sp - 0x7000));
}

static void a_returning_call_is_followed_out_of_its_trampoline(void **state)
{
	uint64_t ip, sp;

	(void)state;
	/* The kernel knows of the call still. */
	leave_trampoline(0, 0x402000, 0, &ip, &sp);
	assert_int_equal(ip, 0x402000);
	assert_int_equal(sp, 0x7000);
	leave_trampoline(13, 0x402000, 24, &ip, &sp);
	assert_int_equal(ip, 0x402000);
	assert_int_equal(sp, 0x7000 + 24);
	/* It knows of one further up alone: the address is on the stack. */
	leave_trampoline(13, 0x402000, 32, &ip, &sp);
	assert_int_equal(ip, 0x401000);
	assert_int_equal(sp, 0x7000 + 24);
	leave_trampoline(15, 0, 0, &ip, &sp);
	assert_int_equal(ip, 22);
	assert_int_equal(sp, 0x7000 + 16);
	leave_trampoline(16, 0, 0, &ip, &sp);
	assert_int_equal(ip, 11);
	assert_int_equal(sp, 0x7000 + 8);
	/* Nowhere that is known. */
	leave_trampoline(40, 0, 0, &ip, &sp);
	assert_int_equal(ip, 0x10000 + 40);
	assert_int_equal(sp, 0x7000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_returning_call_is_followed_out_of_its_trampoline),
		cmocka_unit_test(a_chain_without_frame_pointers_is_whole),
		cmocka_unit_test(a_signal_handler_shows_what_it_interrupted),
		cmocka_unit_test(a_slice_too_short_is_said_to_be_cut),
		cmocka_unit_test(a_thread_ends_at_its_start),
		cmocka_unit_test(code_without_tables_is_crossed_by_frame_pointer),
		cmocka_unit_test(a_stack_of_garbage_ends_the_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void registers_of_this_machine_are_not_covered(void **state)
{
	skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_of_this_machine_are_not_covered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
