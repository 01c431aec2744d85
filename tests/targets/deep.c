/* SPDX-License-Identifier: Apache-2.0 */
/* deep.c: a known chain of calls: main, deep_a, deep_b, ..., and at its end endless work. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Usage: deep [signal]: with "signal" the work is done inside a signal handler. */

volatile uint64_t deep_sink;
volatile int deep_stop; /* never set, but the compiler cannot know */

/* Not static, and with work after the call, so that no frame is merged or lost. */
int deep_a(int n);
int deep_b(int n, char *text);
int deep_c(int n, double x);
int deep_d(int n);
int deep_spin(int n);

__attribute__((noinline)) int deep_spin(int n)
{
	while (!deep_stop)
		for (int i = 0; i < 1000; i++)
			deep_sink += (uint64_t)(i * n) ^ deep_sink >> 3;
	return n;
}

__attribute__((noinline)) static void deep_handler(int sig)
{
	deep_sink += (uint64_t)deep_spin(sig);
}

/* Realigns its stack: its frame is found through a saved pointer. */
__attribute__((noinline)) int deep_d(int n)
{
	char room[256] __attribute__((aligned(64)));

	memset(room, n, sizeof(room));
	__asm__ volatile("" : : "r"(room) : "memory");
	if (n & 0x100) {
		raise(SIGUSR1);
		return room[3];
	}
	return deep_spin(n) + room[3];
}

/* A frame whose size is known only at run time. */
__attribute__((noinline)) int deep_c(int n, double x)
{
	char *room = __builtin_alloca((size_t)(n & 63) + 16);
	int r;

	room[0] = (char)n;
	__asm__ volatile("" : : "r"(room) : "memory");
	r = deep_d(n + 1);
	return r + room[0] + (int)x;
}

__attribute__((noinline)) int deep_b(int n, char *text)
{
	char room[3000];
	int r;

	snprintf(room, sizeof(room), "%s %d", text, n);
	r = deep_c(n + 1, n * 1.5);
	return r + room[n & 7];
}

__attribute__((noinline)) int deep_a(int n)
{
	char text[64];
	int r;

	snprintf(text, sizeof(text), "deep %d", n);
	r = deep_b(n + 1, text);
	return r + text[0];
}

int main(int argc, char **argv)
{
	int in_signal = argc > 1 && !strcmp(argv[1], "signal");

	signal(SIGUSR1, deep_handler);
	setvbuf(stdout, NULL, _IONBF, 0);
	puts("ready");
	return deep_a(in_signal ? 0x100 : argc) & 1;
}
