/* SPDX-License-Identifier: Apache-2.0 */
/* bigframe.c: computes below a function whose frame takes 40 KB of the stack; with "untouched" it
 * never touches most of them, with "half" they are 20. */
#include <string.h>

static volatile unsigned long sum;

__attribute__((noinline)) static void hot(const char *p, unsigned long used, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		sum += (unsigned char)p[i % used] * i;
}

__attribute__((noinline)) static void big_frame(unsigned long used)
{
	char room[40000];

	memset(room, 1, used);
	for (;;)
		hot(room, used, 100000);
}

__attribute__((noinline)) static void half_frame(void)
{
	char room[20000];

	memset(room, 1, sizeof(room));
	for (;;)
		hot(room, sizeof(room), 100000);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "half"))
		half_frame();
	big_frame(argc > 1 ? 100 : 40000);
	return 0;
}
