/* SPDX-License-Identifier: Apache-2.0 */
/*
 * goroutines.c: what a Go program is to a probe, without its compiler: functions that hold their
 * goroutine in r14, look whether the stack has room and come again when it had none, and calls that
 * end on another thread than they began on.
 *
 * Waits for a line, then each of 8 goroutines makes 50 calls of main.Work, which calls main.leaf 3
 * times and is off its thread for 2 ms; prints "done" and waits for the end of its input.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __x86_64__
enum { GOROUTINES = 8, CALLS = 50, STACK_BYTES = 64 << 10, PAUSE_NS = 2000000 };

/* The first words of Go's struct g (runtime/runtime2.go). */
struct goroutine {
	uintptr_t lo, hi, stackguard0;
	ucontext_t self, scheduler;
	char *stack;
	int done;
};

void call_work(struct goroutine *g);
void grow_stack(struct goroutine *g);
void work_body(struct goroutine *g);

/* Go 1.18's mark, and functions as its compiler writes them; r14 survives C's calls. */
__asm__(".section .go.buildinfo,\"a\"\n"
	".ascii \"\\377 Go buildinf:\"\n"
	".byte 8, 2\n"
	".zero 32\n"
	".text\n"
	".globl runtime.text, runtime.etext, main.Work, main.leaf, call_work\n"
	".type runtime.text, @function\n"
	".type runtime.etext, @function\n"
	".type main.Work, @function\n"
	".type main.leaf, @function\n"
	".type call_work, @function\n"
	"runtime.text:\n"
	"main.Work:\n"
	"	cmp 0x10(%r14), %rsp\n"
	"	jbe 1f\n"
	"	sub $8, %rsp\n"
	"	call main.leaf\n"
	"	call main.leaf\n"
	"	call main.leaf\n"
	"	mov %r14, %rdi\n"
	"	call work_body\n"
	"	add $8, %rsp\n"
	"	ret\n"
	"1:	sub $8, %rsp\n"
	"	mov %r14, %rdi\n"
	"	call grow_stack\n"
	"	add $8, %rsp\n"
	"	jmp main.Work\n"
	".size main.Work, . - main.Work\n"
	"main.leaf:\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	pop %rbp\n"
	"	ret\n"
	".size main.leaf, . - main.leaf\n"
	"runtime.etext:\n"
	"call_work:\n"
	"	push %r14\n"
	"	mov %rdi, %r14\n"
	"	call main.Work\n"
	"	pop %r14\n"
	"	ret\n"
	".size call_work, . - call_work\n");

/* Each call finds the limit too high, once. */
void grow_stack(struct goroutine *g)
{
	g->stackguard0 = g->lo;
}

void work_body(struct goroutine *g)
{
	swapcontext(&g->self, &g->scheduler);
}

static uint64_t work_ns; /* of all calls, by this program's own clock */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void run(unsigned int high, unsigned int low)
{
	struct goroutine *g = (struct goroutine *)((uintptr_t)high << 32 | low);

	for (int i = 0; i < CALLS; i++) {
		uint64_t begin = now_ns();

		g->stackguard0 = UINTPTR_MAX;
		call_work(g);
		work_ns += now_ns() - begin;
	}
	g->done = 1;
	swapcontext(&g->self, &g->scheduler);
}

static struct goroutine *current;

static void *resume(void *arg)
{
	swapcontext(&current->scheduler, &current->self);
	return arg;
}

/* On a thread of its own each time: that it waits 2 ms for. */
static void drive(struct goroutine *g)
{
	while (!g->done) {
		pthread_t id;

		current = g;
		if (pthread_create(&id, NULL, resume, NULL) || pthread_join(id, NULL))
			abort();
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
	}
}

int main(void)
{
	char line[16];

	setvbuf(stdout, NULL, _IONBF, 0);
	printf("ready\n");
	if (!fgets(line, sizeof(line), stdin))
		return 0;
	for (int i = 0; i < GOROUTINES; i++) {
		static struct goroutine all[GOROUTINES];
		struct goroutine *g = &all[i];

		if (!(g->stack = malloc(STACK_BYTES)) || getcontext(&g->self))
			return 1;
		g->lo = (uintptr_t)g->stack;
		g->hi = g->lo + STACK_BYTES;
		g->self.uc_stack.ss_sp = g->stack;
		g->self.uc_stack.ss_size = STACK_BYTES;
		makecontext(&g->self, (void (*)(void))run, 2, (unsigned int)((uintptr_t)g >> 32),
			    (unsigned int)(uintptr_t)g);
		drive(g);
	}
	printf("done %llu\n", (unsigned long long)(work_ns / (GOROUTINES * CALLS)));
	while (fgets(line, sizeof(line), stdin))
		;
	return 0;
}
#else
int main(void)
{
	printf("ready\nnot on this machine\n");
	return 0;
}
#endif
