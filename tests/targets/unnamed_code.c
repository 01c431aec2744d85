/* SPDX-License-Identifier: Apache-2.0 */
/* unnamed_code.c: runs code that it made itself, and prints where that lies, "START SIZE". */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int main(void)
{
#if defined(__x86_64__)
	/* mov $1e8, %ecx; 1: dec %ecx; jnz 1b; ret */
	static const uint8_t code[] = {0xb9, 0x00, 0xe1, 0xf5, 0x05, 0xff, 0xc9, 0x75, 0xfc, 0xc3};
#elif defined(__aarch64__)
	/* movz w0, #0x5f5, lsl #16; 1: subs w0, w0, #1; b.ne 1b; ret */
	static const uint32_t code[] = {0x52a0bea0, 0x71000400, 0x54ffffe1, 0xd65f03c0};
#endif
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void (*spin)(void);

	if (p == MAP_FAILED)
		return 1;
	memcpy(p, code, sizeof(code));
	__builtin___clear_cache((char *)p, (char *)p + sizeof(code));
	if (mprotect(p, 4096, PROT_READ | PROT_EXEC))
		return 1;
	memcpy(&spin, &p, sizeof(spin));
	printf("%lx %zx\n", (unsigned long)(uintptr_t)p, sizeof(code));
	fflush(stdout);
	for (;;)
		spin();
}
