/* SPDX-License-Identifier: Apache-2.0 */
/* bigframe.c: computes below a function whose frame takes 40 KB of the stack. */
#include <string.h>

static volatile unsigned long sum;

__attribute__((noinline)) static void hot(const char *p, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		sum += (unsigned char)p[i % 40000] * i;
}

__attribute__((noinline)) static void big_frame(void)
{
	char room[40000];

	memset(room, 1, sizeof(room));
	for (;;)
		hot(room, 100000);
}

int main(void)
{
	big_frame();
	return 0;
}
