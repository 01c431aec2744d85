/* SPDX-License-Identifier: Apache-2.0 */
/* bench_offcpu.c: what a context switch costs its program, beside cpudist -O and offcputime. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "perftop.skel.h"

enum { ROUNDS = 5, TRIES = 15, WINDOWS = 10, WINDOW_MS = 40, SETTLE_MS = 1500 };
#define STEADY 1.04

/* Two threads of one CPU that wake each other by turns: a round is two switches. */
struct ball {
	uint32_t turn;
	clockid_t cpu; /* what both have run: what others on the machine take is not in it */
	uint64_t rounds;
};

static uint64_t cpu_ns(const struct ball *b)
{
	struct timespec t = {0};

	clock_gettime(b->cpu, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void wait_turn(struct ball *b, uint32_t mine)
{
	while (__atomic_load_n(&b->turn, __ATOMIC_ACQUIRE) != mine)
		syscall(SYS_futex, &b->turn, FUTEX_WAIT_PRIVATE, !mine, NULL, NULL, 0);
}

static void pass_turn(struct ball *b, uint32_t to)
{
	__atomic_store_n(&b->turn, to, __ATOMIC_RELEASE);
	syscall(SYS_futex, &b->turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

__attribute__((noreturn)) static void *second(void *arg)
{
	for (;;) {
		wait_turn(arg, 1);
		pass_turn(arg, 0);
	}
}

static void play(struct ball *b)
{
	cpu_set_t one;
	pthread_t t;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&one);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &one);
	sched_setaffinity(0, sizeof(one), &one);
	pthread_create(&t, NULL, second, b);
	for (;;) {
		wait_turn(b, 0);
		b->rounds++;
		pass_turn(b, 1);
	}
}

static void nap_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* The quickest of a few windows: others on the machine only ever make it slower. */
static double switch_ns(const struct ball *b)
{
	double best = 0;

	for (int i = 0; i < WINDOWS; i++) {
		uint64_t t = cpu_ns(b), n = __atomic_load_n(&b->rounds, __ATOMIC_RELAXED);
		double ns;

		nap_ms(WINDOW_MS);
		n = __atomic_load_n(&b->rounds, __ATOMIC_RELAXED) - n;
		ns = (double)(cpu_ns(b) - t) / (double)(2 * n + 1);
		if (!i || ns < best)
			best = ns;
	}
	return best;
}

static pid_t start(char *const *argv)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
		_exit(126);
	execvp(argv[0], argv);
	_exit(127);
}

/* While the program runs; 0 when it does not. */
static double beside_ns(const struct ball *b, pid_t ball, char *const *argv)
{
	pid_t pid = start(argv);
	double ns;
	int status;

	if (pid < 0)
		return 0;
	nap_ms(SETTLE_MS);
	if (waitpid(pid, &status, WNOHANG) == pid)
		return 0;
	ns = switch_ns(b);
	kill(pid, SIGINT);
	for (int i = 0; i < 50 && !waitpid(pid, &status, WNOHANG); i++)
		nap_ms(100);
	if (!kill(pid, 0)) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	return ns;
}

/* Time off the CPU alone, as with --no-wait-stacks. */
static double ours_ns(const struct ball *b, pid_t pid, char *const *argv)
{
	struct bpf_request req = {.pid = pid, .offcpu = true};
	char why[256] = "", fix[256];
	struct bpf *bpf = bpf_new(&req, why, sizeof(why), fix, sizeof(fix));
	double ns = 0;

	if (bpf && !bpf_attach_tp(bpf, "on_sched_switch", why, sizeof(why)) &&
	    (!bpf_needs_wakes(bpf) || !bpf_attach_tp(bpf, "on_sched_waking", why, sizeof(why))))
		ns = switch_ns(b);
	else
		fprintf(stderr, "bench_offcpu: %s\n", why);
	bpf_free(bpf);
	return ns;
}

/* A program on the same hook that does nothing: what no tracer is cheaper than. */
static double hook_ns(const struct ball *b, pid_t pid, char *const *argv)
{
	const struct bpf_insn nothing[] = BPF_EMPTY_CODE;
	int prog = bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "nothing", "GPL", nothing,
				 sizeof(nothing) / sizeof(nothing[0]), NULL);
	int link = prog < 0 ? prog : bpf_raw_tracepoint_open("sched_switch", prog);
	double ns = link < 0 ? 0 : switch_ns(b);

	(void)pid;
	(void)argv;
	if (link >= 0)
		close(link);
	if (prog >= 0)
		close(prog);
	return ns;
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* What to run beside the program, and what its switches then take. 0: it did not run. */
struct contender {
	double (*ns)(const struct ball *b, pid_t pid, char *const *argv);
	char *const *argv;
	double added[ROUNDS];
	int n;
};

/*
 * Between two readings without: where those differ by more than a few percent the machine has
 * changed its pace meanwhile, and the round says nothing.
 */
static void round_of(const struct ball *b, pid_t pid, struct contender *c)
{
	double before, with, after;

	if (c->n == ROUNDS)
		return;
	before = switch_ns(b);
	with = c->ns(b, pid, c->argv);
	after = switch_ns(b);
	if (with > 0 && after < before * STEADY && before < after * STEADY)
		c->added[c->n++] = with - (before + after) / 2;
}

static double median(struct contender *c)
{
	qsort(c->added, (size_t)c->n, sizeof(*c->added), compare_double);
	return c->n ? c->added[c->n / 2] : 0;
}

static void report(const char *what, struct contender *ours, const char *other,
		   struct contender *theirs, double target)
{
	double own = median(ours), its = median(theirs);

	if (!ours->n || !theirs->n) {
		printf("%-28s %s: N/A\n", what, !ours->n ? "perftop did not run" : other);
		return;
	}
	printf("%-28s %8.0f ns    %-12s %6.0f ns    ratio %.2f (target %.2f)  %s\n", what, own,
	       other, its, own / its, target, own <= target * its ? "PASS" : "MISSED");
}

int main(void)
{
	struct ball *b =
		mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char pid_text[16], *perftop = getenv("PERFTOP");
	struct contender all[] = {
		{ours_ns, NULL},
		{beside_ns, (char *[]){"cpudist", "-O", "-p", pid_text, NULL}},
		{beside_ns, (char *[]){perftop ? perftop : "./perftop", "-p", pid_text, "--json",
				       "--hz", "0", "--syscalls=off", "--max-overhead", "0", NULL}},
		{beside_ns, (char *[]){"offcputime", "-p", pid_text, NULL}},
		{hook_ns, NULL},
	};
	pid_t pid;

	if (b == MAP_FAILED)
		return 1;
	pid = fork();
	if (!pid)
		play(b);
	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	nap_ms(200);
	if (clock_getcpuclockid(pid, &b->cpu))
		return 1;
	for (int i = 0; i < TRIES; i++)
		for (size_t c = 0; c < sizeof(all) / sizeof(all[0]); c++)
			round_of(b, pid, &all[c]);
	printf("ns of CPU that a context switch takes longer, bare %.0f; medians of up to %d "
	       "steady "
	       "rounds by turns\n",
	       switch_ns(b), ROUNDS);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (all[4].n)
		printf("%-28s %8.0f ns\n", "an empty program there", median(&all[4]));
	report("off-CPU time by reason", &all[0], "cpudist -O", &all[1], 0.5);
	report("with stacks and wakers", &all[2], "offcputime", &all[3], 0.4);
	return 0;
}
