/* SPDX-License-Identifier: Apache-2.0 */
/* inlines.c: computes in a function that exists only inlined, two levels deep. */
static volatile unsigned long sum;

static inline __attribute__((always_inline)) void innermost(unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		sum += i * i;
}

static inline __attribute__((always_inline)) void middle(unsigned long n)
{
	innermost(n);
}

__attribute__((noinline)) static void around(void)
{
	middle(1000000);
}

int main(void)
{
	for (;;)
		around();
}
