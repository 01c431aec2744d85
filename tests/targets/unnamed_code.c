/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unnamed_code.c: runs code that it made itself, and prints where that lies, "START SIZE". With an
 * argument it is mapped twice, as by compilers that never have memory both writable and executable.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *make(const void *code, size_t size, bool twice)
{
	int fd = twice ? memfd_create("vmem", MFD_CLOEXEC) : -1;
	int flags = twice ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	void *p;

	if (twice && (fd < 0 || ftruncate(fd, 4096)))
		return NULL;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (p == MAP_FAILED)
		return NULL;
	memcpy(p, code, size);
	if (twice)
		p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, flags, fd, 0);
	else if (mprotect(p, 4096, PROT_READ | PROT_EXEC))
		return NULL;
	if (p == MAP_FAILED)
		return NULL;
	__builtin___clear_cache((char *)p, (char *)p + size);
	return p;
}

int main(int argc, char **argv)
{
#if defined(__x86_64__)
	/* push %rbp; mov $1e8, %ebp; 1: dec %ebp; jnz 1b; pop %rbp; ret: no frame pointer */
	static const uint8_t code[] = {0x55, 0xbd, 0x00, 0xe1, 0xf5, 0x05,
				       0xff, 0xcd, 0x75, 0xfc, 0x5d, 0xc3};
#elif defined(__aarch64__)
	/* movz w0, #0x5f5, lsl #16; 1: subs w0, w0, #1; b.ne 1b; ret */
	static const uint32_t code[] = {0x52a0bea0, 0x71000400, 0x54ffffe1, 0xd65f03c0};
#endif
	void *p = make(code, sizeof(code), argc > 1);
	void (*spin)(void);

	(void)argv;
	if (!p)
		return 1;
	memcpy(&spin, &p, sizeof(spin));
	printf("%lx %zx\n", (unsigned long)(uintptr_t)p, sizeof(code));
	fflush(stdout);
	for (;;)
		spin();
}
