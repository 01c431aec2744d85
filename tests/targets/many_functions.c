/* SPDX-License-Identifier: Apache-2.0 */
/* many_functions.c: ten thousand functions, many_0000 to many_9999, called as told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * Commands come on stdin, one a line; each is answered on stdout with one line.
 *
 *   call FIRST N TIMES   the N functions from FIRST on, TIMES times each: CPU ns a call
 *   pace I WORK MSEC     for MSEC, function I and then WORK rounds of other work: how often
 *
 * It ends with its stdin.
 */

typedef int (*function)(int);

#if defined(__x86_64__)
/* With a prologue that costs a probe least. */
#define DEFINE(n)                                                                        \
	__asm__(".pushsection .text\n.balign 16\n.type many_" #n ", @function\n"         \
		"many_" #n ":\npush %rbp\nmov %rsp, %rbp\nlea 1(%rdi), %eax\npop %rbp\n" \
		"ret\n.size many_" #n ", .-many_" #n "\n.popsection\n");                 \
	int many_##n(int);
#else
#define DEFINE(n)                                     \
	__attribute__((noinline)) int many_##n(int i) \
	{                                             \
		__asm__ volatile("" : "+r"(i));       \
		return i + 1;                         \
	}
#endif

/* It finds no layout for these that it would leave alone. */
/* clang-format off */
#define TEN(X, n) \
	X(n##0) X(n##1) X(n##2) X(n##3) X(n##4) X(n##5) X(n##6) X(n##7) X(n##8) X(n##9)
#define HUNDRED(X, n) \
	TEN(X, n##0) TEN(X, n##1) TEN(X, n##2) TEN(X, n##3) TEN(X, n##4) \
	TEN(X, n##5) TEN(X, n##6) TEN(X, n##7) TEN(X, n##8) TEN(X, n##9)
#define THOUSAND(X, n) \
	HUNDRED(X, n##0) HUNDRED(X, n##1) HUNDRED(X, n##2) HUNDRED(X, n##3) HUNDRED(X, n##4) \
	HUNDRED(X, n##5) HUNDRED(X, n##6) HUNDRED(X, n##7) HUNDRED(X, n##8) HUNDRED(X, n##9)
#define ALL(X) \
	THOUSAND(X, 0) THOUSAND(X, 1) THOUSAND(X, 2) THOUSAND(X, 3) THOUSAND(X, 4) \
	THOUSAND(X, 5) THOUSAND(X, 6) THOUSAND(X, 7) THOUSAND(X, 8) THOUSAND(X, 9)
/* clang-format on */

ALL(DEFINE)

#define ENTRY(n) many_##n,
static const function functions[] = {ALL(ENTRY)};
enum { NFUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

static double ns_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void call(unsigned first, unsigned n, unsigned times)
{
	double begin = ns_of(CLOCK_PROCESS_CPUTIME_ID);
	int sum = 0;

	for (unsigned i = 0; i < n; i++)
		for (unsigned t = 0; t < times; t++)
			sum += functions[(first + i) % NFUNCTIONS](sum);
	printf("called count=%u ns=%.1f sum=%d\n", n * times,
	       (ns_of(CLOCK_PROCESS_CPUTIME_ID) - begin) / n / times, sum);
}

static void pace(unsigned i, unsigned work, unsigned msec)
{
	double end = ns_of(CLOCK_MONOTONIC) + msec * 1e6;
	unsigned count = 0;

	while (ns_of(CLOCK_MONOTONIC) < end) {
		functions[i % NFUNCTIONS](0);
		count++;
		for (volatile unsigned round = 0; round < work; round++)
			;
	}
	printf("paced count=%u\n", count);
}

int main(void)
{
	unsigned a, b, c;
	char line[128];

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready functions=%d\n", NFUNCTIONS);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "call %u %u %u", &a, &b, &c) == 3 && b && c)
			call(a, b, c);
		else if (sscanf(line, "pace %u %u %u", &a, &b, &c) == 3)
			pace(a, b, c);
		else
			puts("error");
	}
	return 0;
}
