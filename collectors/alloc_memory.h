/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_memory.h: another process's memory: words, code, the files behind it. */
#ifndef PERFTOP_ALLOC_MEMORY_H
#define PERFTOP_ALLOC_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* All n bytes, or -errno: -EFAULT where part of them is not mapped, -EPERM, -ESRCH. */
int alloc_memory_read(pid_t pid, uint64_t addr, void *buf, size_t n);

/*
 * Addresses that a function's code computes relative to itself (x86-64: lea d(%rip), reg), in
 * order; at most max of the first n bytes. 0 where the code cannot be read or is of another CPU.
 */
uint32_t alloc_memory_leas(pid_t pid, uint64_t function, size_t n, uint64_t *out, uint32_t max);

/* A symbol to look for, function or object; vaddr is 0 when there is none. */
struct alloc_symbol {
	const char *name;
	uint64_t vaddr;
};

/*
 * Fill in the symbols that an ELF file defines. fd is read and not taken over; the file is not
 * trusted. 0, or -ENOEXEC.
 */
int alloc_elf_symbols(int fd, struct alloc_symbol *symbols, uint32_t n);

#endif
