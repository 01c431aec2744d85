/* SPDX-License-Identifier: Apache-2.0 */
/* inject_fifty.c: fifty threads that wait in every way, and notice when one was disturbed. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * It says "ready", runs until its stdin ends, and then prints one line: what it did, and how often
 * something was wrong: a sleep cut short, a call that failed, a byte lost, a register changed, an
 * allocation overwritten, errno changed, an interruption by a signal that did not come through.
 * Status 1 when there was one.
 */

enum { KINDS = 12, THREADS = 50, WAIT_MS = 20 };

static _Atomic uint64_t done[KINDS], wrong, late_ns;
static _Atomic int quit;
static _Atomic pthread_t paused_thread;
static _Atomic int paused_ready;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void bad(const char *what, long a, long b)
{
	if (atomic_fetch_add(&wrong, 1) < 20)
		fprintf(stderr, "inject_fifty: %s: %ld %ld\n", what, a, b);
}

/* From begin on at least ms; `slack_ns` is what the call itself rounds. */
static void slept(const char *what, uint64_t begin, uint64_t ms, uint64_t slack_ns)
{
	uint64_t ns = now_ns() - begin;

	if (ns + slack_ns < ms * 1000000)
		bad(what, (long)ns, (long)ms);
	else if (ns > ms * 1000000 && ns - ms * 1000000 > atomic_load(&late_ns))
		atomic_store(&late_ns, ns - ms * 1000000);
}

#define TS_MS(ms) ((struct timespec){.tv_nsec = (ms)*1000000l})

static void do_nanosleep(void)
{
	uint64_t begin = now_ns();

	errno = 77;
	if (nanosleep(&TS_MS(WAIT_MS), NULL))
		bad("nanosleep", errno, 0);
	if (errno != 77)
		bad("errno after nanosleep", errno, 77);
	slept("nanosleep was cut short", begin, WAIT_MS, 0);
}

static void do_poll(void)
{
	uint64_t begin = now_ns();
	int r = poll(NULL, 0, WAIT_MS);

	if (r)
		bad("poll", r, errno);
	slept("poll was cut short", begin, WAIT_MS, 0);
}

static void do_select(void)
{
	struct timeval tv = {.tv_usec = WAIT_MS * 1000};
	uint64_t begin = now_ns();
	int r = select(0, NULL, NULL, NULL, &tv);

	if (r)
		bad("select", r, errno);
	slept("select was cut short", begin, WAIT_MS, 1000);
}

static void do_epoll(void)
{
	static __thread int fd = -1;
	struct epoll_event e;
	uint64_t begin;
	int r;

	if (fd < 0)
		fd = epoll_create1(EPOLL_CLOEXEC);
	begin = now_ns();
	r = epoll_wait(fd, &e, 1, WAIT_MS);
	if (r)
		bad("epoll_wait", r, errno);
	/* Its limit is in ms: one more or less after it was begun anew. */
	slept("epoll_wait was cut short", begin, WAIT_MS, 1000000);
}

static void do_cond(void)
{
	static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t c;
	pthread_condattr_t a;
	struct timespec until;
	uint64_t begin = now_ns();
	int r;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&c, &a);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += WAIT_MS * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&m);
	r = pthread_cond_timedwait(&c, &m, &until);
	pthread_mutex_unlock(&m);
	if (r != ETIMEDOUT)
		bad("pthread_cond_timedwait", r, 0);
	slept("pthread_cond_timedwait was cut short", begin, WAIT_MS, 0);
	pthread_cond_destroy(&c);
}

/* Two ends of a pipe: every byte arrives, in order, and no read fails. */
static int pipe_fd[2];

static void do_write(void)
{
	static uint8_t next;

	nanosleep(&TS_MS(3), NULL);
	if (write(pipe_fd[1], &next, 1) != 1)
		bad("write", errno, 0);
	next++;
}

static void do_read(void)
{
	static uint8_t expected;
	uint8_t got = 0;
	ssize_t n = read(pipe_fd[0], &got, 1);

	if (n != 1 || got != expected)
		bad("read", n == 1 ? got : errno, expected);
	expected++;
}

static sem_t sem;

static void do_post(void)
{
	nanosleep(&TS_MS(5), NULL);
	sem_post(&sem);
}

static void do_sem(void)
{
	if (sem_wait(&sem))
		bad("sem_wait", errno, 0);
}

static void on_signal(int sig)
{
}

/* A handler without SA_RESTART has to end the call: were it begun anew, nothing would end it. */
static void do_pause(void)
{
	int r;

	atomic_store(&paused_thread, pthread_self());
	atomic_store(&paused_ready, 1);
	r = pause();
	if (r != -1 || errno != EINTR)
		bad("pause", r, errno);
	atomic_store(&paused_ready, 0);
}

static void do_kill(void)
{
	nanosleep(&TS_MS(4), NULL);
	if (atomic_load(&paused_ready))
		pthread_kill(atomic_load(&paused_thread), SIGUSR1);
}

static void do_heap(void)
{
	static __thread uint8_t *kept[64];
	static __thread uint32_t at, seed = 1;

	for (int i = 0; i < 2000; i++) {
		uint8_t **p = &kept[at++ % 64];
		size_t n = (seed = seed * 1103515245 + 12345) >> 20;

		if (*p && (*p)[0] != (uint8_t)(uintptr_t)*p)
			bad("an allocation was overwritten", (*p)[0], 0);
		free(*p);
		*p = malloc(n + 1);
		(*p)[0] = (uint8_t)(uintptr_t)*p;
	}
	nanosleep(&TS_MS(1), NULL);
}

/*
 * Every register that a program may use is given a value of its own, then time passes: in a system
 * call when nr is one, else in a loop. Then they are compared.
 */
#if defined(__x86_64__)
struct vectors {
	uint8_t v[32][64];
};

__attribute__((target("avx512f"), noinline)) static void spin_zmm(const struct vectors *in,
								  struct vectors *out, long nr,
								  struct timespec *ts)
{
	uint64_t bad_regs = 0;

#define LOAD(i)	 "vmovups " #i "*64(%[in]), %%zmm" #i "\n"
#define STORE(i) "vmovups %%zmm" #i ", " #i "*64(%[out])\n"
#define ALL(m)                                                                                \
	m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11) m(12) m(13) m(14) m(15) \
		m(16) m(17) m(18) m(19) m(20) m(21) m(22) m(23) m(24) m(25) m(26) m(27) m(28) \
			m(29) m(30) m(31)
	__asm__ volatile(ALL(LOAD) "mov $0x1111111111111111, %%r12\n"
				   "mov $0x2222222222222222, %%r13\n"
				   "mov $0x3333333333333333, %%r14\n"
				   "mov $0x4444444444444444, %%r15\n"
				   "mov %[nr], %%rax\n"
				   "test %%rax, %%rax\n"
				   "js 1f\n"
				   "mov %[ts], %%rdi\n"
				   "xor %%esi, %%esi\n"
				   "syscall\n"
				   "add %%rax, %[bad]\n" /* 0 */
				   "jmp 2f\n"
				   "1: mov $3000000, %%rcx\n"
				   "3: dec %%rcx\n"
				   "jnz 3b\n"
				   "2:" ALL(STORE) "mov $0x1111111111111111, %%rax\n xor %%rax, "
						   "%%r12\n or %%r12, %[bad]\n"
						   "mov $0x2222222222222222, %%rax\n xor %%rax, "
						   "%%r13\n or %%r13, %[bad]\n"
						   "mov $0x3333333333333333, %%rax\n xor %%rax, "
						   "%%r14\n or %%r14, %[bad]\n"
						   "mov $0x4444444444444444, %%rax\n xor %%rax, "
						   "%%r15\n or %%r15, %[bad]\n"
			 : [bad] "+&b"(bad_regs)
			 : [in] "r"(in), [out] "r"(out), [nr] "r"(nr), [ts] "r"(ts)
			 : "rax", "rcx", "rdi", "rsi", "r11", "r12", "r13", "r14", "r15", "memory",
			   "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
			   "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
			   "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23",
			   "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
	if (bad_regs)
		bad("general registers", (long)bad_regs, nr);
}

static double harmonic_once;

static double harmonic(void)
{
	double sum = 0;

	for (int i = 1; i < 1000; i++)
		sum += 1.0 / i;
	return sum;
}

static void registers(long nr)
{
	struct timespec ts = TS_MS(WAIT_MS);
	struct vectors in, out;
	double sum = harmonic();

	if (!__builtin_cpu_supports("avx512f")) {
		nanosleep(&ts, NULL);
		return;
	}
	for (size_t i = 0; i < sizeof(in); i++)
		((uint8_t *)&in)[i] = (uint8_t)(i * 37 + (uintptr_t)&ts % 251);
	spin_zmm(&in, &out, nr, &ts);
	if (memcmp(&in, &out, sizeof(in)))
		bad("vector registers", nr, 0);
	if (sum != harmonic_once)
		bad("arithmetic", (long)sum, 0);
}
#else
static double harmonic_once;

static double harmonic(void)
{
	return 0;
}

static void registers(long nr)
{
	nanosleep(&TS_MS(WAIT_MS), NULL);
}
#endif

static void do_asleep(void)
{
	uint64_t begin = now_ns();

	registers(SYS_nanosleep);
	slept("a raw nanosleep was cut short", begin, WAIT_MS, 0);
}

static void do_spin(void)
{
	registers(-1);
	nanosleep(&TS_MS(10), NULL);
}

static const struct {
	const char *name;
	void (*fn)(void);
	int threads;
} kinds[KINDS + 2] = {
	{"nanosleep", do_nanosleep, 8}, {"poll", do_poll, 6}, {"select", do_select, 5},
	{"epoll", do_epoll, 6},		{"cond", do_cond, 6}, {"write", do_write, 1},
	{"read", do_read, 1},		{"post", do_post, 3}, {"sem", do_sem, 3},
	{"pause", do_pause, 1},		{"kill", do_kill, 1}, {"heap", do_heap, 3},
	{"asleep", do_asleep, 4},	{"spin", do_spin, 2},
};

static void *worker(void *arg)
{
	size_t k = (size_t)(uintptr_t)arg;

	while (!atomic_load(&quit)) {
		kinds[k].fn();
		atomic_fetch_add(&done[k % KINDS], 1);
	}
	return NULL;
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	pthread_t t;
	char byte;
	int n = 0;

	harmonic_once = harmonic();
	sigaction(SIGUSR1, &sa, NULL);
	if (pipe(pipe_fd) || sem_init(&sem, 0, 0))
		return 2;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
		for (int i = 0; i < kinds[k].threads; i++, n++)
			if (pthread_create(&t, NULL, worker, (void *)(uintptr_t)k))
				return 2;
	printf("ready %d threads\n", n);
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	printf("wrong=%llu late_us=%llu", (unsigned long long)wrong,
	       (unsigned long long)late_ns / 1000);
	for (int k = 0; k < KINDS; k++)
		printf(" %s=%llu", kinds[k].name, (unsigned long long)done[k]);
	printf("\n");
	fflush(stdout);
	_exit(wrong != 0);
}
