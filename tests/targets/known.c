/* SPDX-License-Identifier: Apache-2.0 */
/* known.c: a program whose calls and latencies are known: it keeps its own account of them. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * Commands come on stdin, one a line; each is answered on stdout with one line of truth.
 *
 *   script N            N calls of known_work by the script below: its exact quantiles
 *   calls FN N THREADS  each thread calls FN N times: total calls, CPU ns a call
 *   recurse DEPTH N     N calls of known_recurse, DEPTH deep
 *   longjmp N           N calls of known_leave, every third leaves by longjmp
 *   heap N              N pairs of malloc and free: CPU ns a pair
 *   lengths N           N calls of strlen
 *   marks N             N pairs of markers, and N single ones when someone listens
 *
 * It ends with its stdin.
 */

enum { MAX_SAMPLES = 1 << 20, MAX_THREADS = 64 };

static uint64_t samples[MAX_SAMPLES];
static uint32_t nsamples;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* CPU time, so that others on the machine do not count. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void spin_ns(uint64_t ns)
{
	uint64_t end = now_ns() + ns;

	while (now_ns() < end)
		;
}

/* ---- functions with the prologues that placement tells apart -------------------------------- */

#if defined(__x86_64__)
#define PROLOGUE(name, body)                                                              \
	__asm__(".text\n.balign 16\n.globl " #name "\n.type " #name ", @function\n" #name \
		":\n" body "\nret\n.size " #name ", .-" #name "\n");                      \
	void name(void *)
PROLOGUE(known_push, "push %rbx\npop %rbx");
PROLOGUE(known_push_r12, "push %r12\npop %r12");
PROLOGUE(known_nop5, ".byte 0x0f, 0x1f, 0x44, 0, 0");
PROLOGUE(known_endbr, "endbr64\npush %rbx\npop %rbx");
/* As libc's free begins. */
PROLOGUE(known_test, "test %rdi, %rdi\nje 1f\nxor %eax, %eax\n1:");
PROLOGUE(known_sub, "sub $24, %rsp\npush %rbx\npop %rbx\nadd $24, %rsp");
PROLOGUE(known_leaf, "lea 1(%rdi), %rax");
/* A loop whose head lies in the bytes that moving the probe would skip. */
PROLOGUE(known_headed, "mov $3, %eax\n1: dec %eax\ntest %eax, %eax\njne 1b");
#else
#define PROLOGUE(name)                               \
	__attribute__((noinline)) void name(void *p) \
	{                                            \
		__asm__ volatile("" : : "r"(p));     \
	}
PROLOGUE(known_push)
PROLOGUE(known_push_r12)
PROLOGUE(known_nop5)
PROLOGUE(known_endbr)
PROLOGUE(known_test)
PROLOGUE(known_sub)
PROLOGUE(known_leaf)
PROLOGUE(known_headed)
#endif

static const struct {
	const char *name;
	void (*fn)(void *);
} functions[] = {
	{"known_push", known_push}, {"known_push_r12", known_push_r12},
	{"known_nop5", known_nop5}, {"known_endbr", known_endbr},
	{"known_test", known_test}, {"known_sub", known_sub},
	{"known_leaf", known_leaf}, {"known_headed", known_headed},
};

void known_work(uint64_t spin, uint64_t sleep);
uint32_t known_recurse(uint32_t depth);
void known_leave(uint32_t i);

/* ---- the script ------------------------------------------------------------------------------ */

/* Its latency is taken inside, so that no probe around it is in the account. */
__attribute__((noinline)) void known_work(uint64_t spin, uint64_t sleep)
{
	uint64_t begin = now_ns();
	struct timespec t = {.tv_nsec = (long)sleep};

	if (sleep)
		nanosleep(&t, NULL);
	else
		spin_ns(spin);
	if (nsamples < MAX_SAMPLES)
		samples[nsamples++] = now_ns() - begin;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The smallest value that at least q of all samples do not exceed. */
static uint64_t quantile(double q)
{
	uint32_t rank = (uint32_t)ceil(q * nsamples - 1e-9);

	return samples[rank ? rank - 1 : 0];
}

/* Of 1,000 calls 900 take 20 us, 80 take 100 us, 15 take 400 us, 5 sleep for 2 ms. */
static void run_script(uint32_t n)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = {{"50", 0.50},	 {"51", 0.51},	 {"99", 0.99},
			 {"995", 0.995}, {"999", 0.999}, {"9998", 0.9998}};

	nsamples = 0;
	for (uint32_t i = 0; i < n && i < MAX_SAMPLES; i++) {
		uint32_t r = i * 619 % 1000;

		known_work(r < 900 ? 20000 : r < 980 ? 100000 : 400000, r >= 995 ? 2000000 : 0);
	}
	qsort(samples, nsamples, sizeof(samples[0]), compare);
	if (!nsamples)
		return;
	printf("script count=%u", nsamples);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
		printf(" p%s=%llu", quantiles[i].name,
		       (unsigned long long)quantile(quantiles[i].q));
	printf(" max=%llu\n", (unsigned long long)samples[nsamples - 1]);
}

/* ---- the rest -------------------------------------------------------------------------------- */

struct caller {
	void (*fn)(void *);
	uint32_t n;
	pthread_t thread;
};

static void *call_many(void *arg)
{
	const struct caller *c = arg;

	for (uint32_t i = 0; i < c->n; i++)
		c->fn((void *)c);
	return NULL;
}

static void run_calls(const char *name, uint32_t n, uint32_t threads)
{
	static struct caller callers[MAX_THREADS];
	void (*fn)(void *) = NULL;
	uint64_t begin = cpu_ns();

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (!strcmp(functions[i].name, name))
			fn = functions[i].fn;
	threads = threads > MAX_THREADS ? MAX_THREADS : threads ? threads : 1;
	for (uint32_t i = 0; fn && i < threads; i++) {
		callers[i].fn = fn;
		callers[i].n = n;
		if (pthread_create(&callers[i].thread, NULL, call_many, &callers[i]))
			abort();
	}
	for (uint32_t i = 0; fn && i < threads; i++)
		pthread_join(callers[i].thread, NULL);
	printf("calls count=%llu ns=%.1f\n", fn ? (unsigned long long)n * threads : 0,
	       (double)(cpu_ns() - begin) / n / threads);
}

__attribute__((noinline)) uint32_t known_recurse(uint32_t depth)
{
	uint32_t below = depth > 1 ? known_recurse(depth - 1) : 0;

	__asm__ volatile("" : "+r"(below)); /* no tail call, no loop in its place */
	return below + 1;
}

static jmp_buf leave_env;
__attribute__((noinline)) void known_leave(uint32_t i)
{
	__asm__ volatile("" : "+r"(i));
	if (i % 3 == 0)
		longjmp(leave_env, 1);
}

static void run_longjmp(uint32_t n)
{
	/* Volatile: changed between setjmp and longjmp. */
	volatile uint32_t i = 0, returned = 0;

	setjmp(leave_env);
	while (i < n) {
		i++;
		known_leave(i - 1);
		returned++;
	}
	printf("longjmp count=%u returned=%u\n", n, returned);
}

static void run_heap(uint32_t n)
{
	uint64_t begin = cpu_ns();

	for (uint32_t i = 0; i < n; i++) {
		void *volatile p = malloc(64);

		free(p);
	}
	printf("heap count=%u ns=%.1f\n", n, (double)(cpu_ns() - begin) / n);
}

static void run_lengths(uint32_t n)
{
	size_t (*volatile length)(const char *) = strlen;
	size_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += length("known");
	printf("lengths count=%u sum=%zu\n", n, sum);
}

/* USDT notes by hand: sys/sdt.h is a package that not every machine has. */
#define KNOWN_STRING(x) #x
#define KNOWN_MARK(name, semaphore)                                                        \
	__asm__ volatile(                                                                  \
		"990: nop\n"                                                               \
		".pushsection .note.stapsdt,\"\",%note\n"                                  \
		".balign 4\n"                                                              \
		".4byte 992f-991f, 994f-993f, 3\n"                                         \
		"991: .asciz \"stapsdt\"\n"                                                \
		"992: .balign 4\n"                                                         \
		"993: .8byte 990b\n"                                                       \
		".8byte _.stapsdt.base\n"                                                  \
		".8byte " KNOWN_STRING(                                                    \
			semaphore) "\n"                                                    \
				   ".asciz \"known\"\n.asciz \"" #name "\"\n.asciz \"\"\n" \
				   "994: .balign 4\n"                                      \
				   ".popsection\n"                                         \
				   ".ifndef _.stapsdt.base\n"                              \
				   ".pushsection "                                         \
				   ".stapsdt.base,\"aG\",%progbits,.stapsdt.base,comdat\n" \
				   ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n"        \
				   "_.stapsdt.base: .space 1\n"                            \
				   ".size _.stapsdt.base, 1\n"                             \
				   ".popsection\n.endif\n")

__attribute__((section(".probes"), used)) volatile unsigned short known_single_semaphore;

static void run_marks(uint32_t n)
{
	uint32_t fired = 0;

	for (uint32_t i = 0; i < n; i++) {
		KNOWN_MARK(job__begin, 0);
		spin_ns(20000);
		KNOWN_MARK(job__end, 0);
		if (known_single_semaphore) {
			KNOWN_MARK(single, known_single_semaphore);
			fired++;
		}
	}
	printf("marks count=%u fired=%u\n", n, fired);
}

int main(void)
{
	char line[256], name[64];
	uint32_t n, m;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready pid=%d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "script %u", &n) == 1) {
			run_script(n);
		} else if (sscanf(line, "calls %63s %u %u", name, &n, &m) == 3) {
			run_calls(name, n, m);
		} else if (sscanf(line, "recurse %u %u", &n, &m) == 2) {
			for (uint32_t i = 0; i < m; i++)
				known_recurse(n);
			printf("recurse count=%llu\n", (unsigned long long)n * m);
		} else if (sscanf(line, "longjmp %u", &n) == 1) {
			run_longjmp(n);
		} else if (sscanf(line, "heap %u", &n) == 1) {
			run_heap(n);
		} else if (sscanf(line, "lengths %u", &n) == 1) {
			run_lengths(n);
		} else if (sscanf(line, "marks %u", &n) == 1) {
			run_marks(n);
		} else {
			printf("unknown\n");
		}
	}
	return 0;
}
