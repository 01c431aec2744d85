/* SPDX-License-Identifier: Apache-2.0 */
/* inject_choose.c: which thread can be borrowed, and at what moment. */
#ifdef __x86_64__
#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "collectors/clock.h"
#include "collectors/inject_priv.h"
#include "collectors/inject_stack.h"
#include "collectors/procfs.h"
#include "collectors/syscalls.h"

enum {
	THREADS_MAX = 4096, /* looked at in one round */
	STATUS_BYTES = 8192,
};

#define CHOOSE_NS 2000000000ull

struct candidate {
	pid_t tid;
	long nr;
	uint64_t pc; /* behind the call */
	int rank;
	int64_t timeout_ms; /* of epoll_wait */
};

/*
 * How well a blocked call takes being interrupted, best first: it is begun anew unchanged; the
 * kernel writes the time left back; the kernel remembers when it ends; epoll_wait, which gives up
 * with EINTR and has to be made anew, without a limit, or with what is left of it.
 */
int inject_call_rank(long nr, const uint64_t *arg)
{
	switch (nr) {
	case SYS_futex:
		switch (arg[1] & (uint64_t)FUTEX_CMD_MASK) {
		case FUTEX_WAIT:
			return arg[3] ? 2 : 0;
		case FUTEX_WAIT_BITSET:
			return 0; /* its limit is a point in time */
		default:
			return INJECT_RANK_NEVER;
		}
	case SYS_read:
	case SYS_readv:
	case SYS_write:
	case SYS_writev:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_wait4:
	case SYS_waitid:
	case SYS_pause:
	case SYS_flock:
		return 0;
	case SYS_select:
	case SYS_pselect6:
	case SYS_ppoll:
		return 1;
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_poll:
		return 2;
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		return (int32_t)arg[3] < 0 ? 3 : INJECT_RANK_EPOLL;
	default:
		return INJECT_RANK_NEVER;
	}
}

/*
 * A call that was interrupted once is in restart_syscall. Which it was its caller says, in the
 * instruction before: b8 imm32 0f 05, mov $NR, %eax; syscall.
 */
static long resumed_call(pid_t pid, uint64_t pc)
{
	uint8_t code[7];
	uint32_t nr;

	if (inject_read(pid, pc - sizeof(code), code, sizeof(code)) || code[0] != 0xb8)
		return SYS_restart_syscall;
	memcpy(&nr, code + 1, sizeof(nr));
	return nr;
}

static void note_call(struct inject_thread *t, const struct candidate *k)
{
	t->nr = (long)t->regs.orig_rax;
	if (t->nr == SYS_restart_syscall && t->regs.rip == k->pc)
		t->nr = k->nr;
}

static int candidate_read(pid_t pid, pid_t tid, struct candidate *c)
{
	unsigned long long arg[8];
	char name[32], text[256];
	uint64_t a[6];
	long nr;

	snprintf(name, sizeof(name), "task/%d/syscall", tid);
	if (procfs_read(pid, name, text, sizeof(text)) <= 0)
		return -ESRCH;
	*c = (struct candidate){.tid = tid, .rank = INJECT_RANK_NEVER, .timeout_ms = -2};
	if (!strncmp(text, "running", 7)) {
		c->rank = INJECT_RANK_RUNNING;
		return 0;
	}
	if (sscanf(text, "%ld %llx %llx %llx %llx %llx %llx %llx %llx", &nr, &arg[0], &arg[1],
		   &arg[2], &arg[3], &arg[4], &arg[5], &arg[6], &arg[7]) != 9)
		return 0;
	c->pc = arg[7];
	c->nr = nr == SYS_restart_syscall ? resumed_call(pid, c->pc) : nr;
	for (int i = 0; i < 6; i++)
		a[i] = arg[i];
	c->rank = inject_call_rank(c->nr, a);
	if (c->rank == INJECT_RANK_EPOLL)
		c->timeout_ms = (int32_t)a[3];
	return 0;
}

/* The best of its threads, best first. */
static uint32_t survey(pid_t pid, pid_t only, struct candidate *best)
{
	uint32_t n = 0, seen = 0;
	struct dirent *e;
	char path[32];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && (e = readdir(d)) && seen < THREADS_MAX) {
		struct candidate c;
		uint32_t at;

		if (e->d_name[0] == '.' || candidate_read(pid, (pid_t)atoi(e->d_name), &c) ||
		    (only && c.tid != only))
			continue;
		seen++;
		if (c.rank == INJECT_RANK_NEVER)
			continue;
		for (at = n; at && best[at - 1].rank > c.rank; at--)
			if (at < INJECT_CANDIDATES)
				best[at] = best[at - 1];
		if (at < INJECT_CANDIDATES)
			best[at] = c;
		n += n < INJECT_CANDIDATES;
	}
	if (d)
		closedir(d);
	return n;
}

/*
 * A signal that the program does not handle and that is nothing then, neither blocked (some read
 * theirs from a signalfd) nor pending. 0: there is none.
 */
static int harmless_signal(pid_t pid, pid_t tid)
{
	static const int harmless[] = {SIGURG, SIGWINCH, SIGCHLD};
	static const char *const sets[] = {"SigCgt", "SigBlk", "SigPnd", "ShdPnd"};
	char name[32], text[STATUS_BYTES];
	uint64_t used = 0;

	snprintf(name, sizeof(name), "task/%d/status", tid);
	if (procfs_read(pid, name, text, sizeof(text)) <= 0)
		return 0;
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		const char *at = strstr(text, sets[i]);

		used |= at ? strtoull(at + strlen(sets[i]) + 1, NULL, 16) : ~0ull;
	}
	for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++)
		if (!(used >> (harmless[i] - 1) & 1))
			return harmless[i];
	return 0;
}

static bool is_timed_epoll(const struct inject_thread *t)
{
	const uint64_t arg[4] = {t->regs.rdi, t->regs.rsi, t->regs.rdx, t->regs.r10};
	long nr = t->nr;

	return (nr == SYS_epoll_wait || nr == SYS_epoll_pwait) &&
	       inject_call_rank(nr, arg) == INJECT_RANK_EPOLL;
}

/* Stop it. What is needed to begin a timed epoll_wait anew is known then. */
static int stop_one(struct inject_chooser *c, const struct candidate *k, struct inject_thread *t)
{
	struct inject_block block = {0};
	bool known;
	int err = -EAGAIN;

	/* First: it takes a while, and what is known of the call must not grow old. */
	inject_hurry_begin(&t->hurry, k->tid);
	known = k->timeout_ms >= 0 && !inject_block_read(&block, c->pid, k->tid);
	/* Better another thread than one whose time is not known. */
	if (k->timeout_ms < 0 || known)
		err = inject_thread_stop(t, c->pid, k->tid);
	if (err) {
		inject_hurry_end(&t->hurry);
		return err;
	}
	c->tries++;
	note_call(t, k);
	c->epoll_timeout_ms = -2;
	if (is_timed_epoll(t)) {
		uint64_t now = clock_mono_ns();

		/*
		 * It came here since, or its time was over, so that this is the next one: begun
		 * anew as a whole, it takes longer, never shorter.
		 */
		c->epoll_timeout_ms = (int32_t)t->regs.r10;
		known = known && inject_block_same(&block, c->pid, k->tid) &&
			now - block.begin_ns < (uint64_t)c->epoll_timeout_ms * 1000000;
		c->epoll_begin_ns = known ? block.begin_ns : now;
	}
	return 0;
}

static int give_up(struct inject_chooser *c, struct inject_thread *t, int err)
{
	inject_thread_resume(t, inject_chooser_timeout(c));
	if (t->stop_ns > c->probe_ns)
		c->probe_ns = t->stop_ns;
	return err;
}

/* A thread in an uninterruptible wait would stop who knows when, and be waited for until then. */
static bool can_be_stopped(pid_t pid, pid_t tid)
{
	char name[32], text[1024];
	struct procfs_stat st;

	snprintf(name, sizeof(name), "task/%d/stat", tid);
	return procfs_read(pid, name, text, sizeof(text)) > 0 && !procfs_parse_stat(text, &st) &&
	       (st.state == 'S' || st.state == 'R');
}

/*
 * Two stops: a first short one, whose copy of the stack is judged while the thread runs on, which
 * also reads the files that a stack is unwound by; then the real one, judged anew.
 */
static int try_one(struct inject_chooser *c, struct candidate *k, struct inject_thread *t)
{
	struct inject_stack s = {.slice = c->slice};
	int err, signal = harmless_signal(c->pid, k->tid);

	if (!signal) {
		snprintf(c->why, sizeof(c->why), "uses or blocks SIGURG, SIGWINCH and SIGCHLD");
		return -EAGAIN;
	}
	if (!can_be_stopped(c->pid, k->tid)) {
		snprintf(c->why, sizeof(c->why), "is frozen, or waits for a device");
		return -EAGAIN;
	}
	err = stop_one(c, k, t);
	if (err)
		return err;
	inject_stack_copy(&s, t);
	give_up(c, t, 0);
	symbols_refresh(c->symbols);
	err = inject_stack_find(&s, t);
	if (!err)
		err = inject_stack_judge(c, &s, t, false);
	if (!err)
		err = stop_one(c, k, t);
	if (err)
		return err;
	inject_stack_copy(&s, t);
	err = inject_stack_judge(c, &s, t, true);
	if (err)
		return give_up(c, t, err);
	t->signal = signal;
	snprintf(c->thread_call, sizeof(c->thread_call), "%s",
		 t->nr < 0 ? "running" : syscall_name((uint32_t)t->nr));
	return 0;
}

int inject_choose(struct inject_chooser *c, struct inject_thread *t)
{
	uint64_t begin = clock_mono_ns();

	for (uint32_t round = 0; clock_mono_ns() - begin < CHOOSE_NS; round++) {
		struct candidate best[INJECT_CANDIDATES];
		uint32_t n = survey(c->pid, c->only, best);

		for (uint32_t i = 0; i < n; i++) {
			int err = try_one(c, &best[i], t);

			if (!err || err == -EPERM)
				return err;
		}
		if (!n)
			snprintf(c->why, sizeof(c->why),
				 "none waits in a call that can be resumed");
		/* Not in step with what it does. */
		nanosleep(&(struct timespec){.tv_nsec = 1000000 + round * 7919 % 97 * 50000}, NULL);
		if (procfs_live_tid(c->pid) <= 0)
			return -ESRCH;
	}
	return -EAGAIN;
}

int64_t inject_chooser_timeout(const struct inject_chooser *c)
{
	int64_t gone_ms;

	if (c->epoll_timeout_ms < 0)
		return -2;
	gone_ms = (int64_t)((clock_mono_ns() - c->epoll_begin_ns) / 1000000);
	return gone_ms < c->epoll_timeout_ms ? c->epoll_timeout_ms - gone_ms : 0;
}

int inject_chooser_init(struct inject_chooser *c, pid_t pid, const struct inject_libc *libc)
{
	memset(c, 0, sizeof(*c));
	c->pid = pid;
	c->libc = libc;
	c->epoll_timeout_ms = -2;
	c->symbols = symbols_new(pid);
	c->unwinder = c->symbols ? unwind_new(c->symbols) : NULL;
	c->slice = malloc(INJECT_SLICE_BYTES);
	if (c->unwinder && c->slice)
		return symbols_refresh(c->symbols);
	return -ENOMEM;
}

void inject_chooser_fini(struct inject_chooser *c)
{
	unwind_free(c->unwinder);
	symbols_free(c->symbols);
	free(c->slice);
}
#endif
