/* SPDX-License-Identifier: Apache-2.0 */
/* inject_modules.h: the loader's list of modules in a running process, read from its memory. */
#ifndef PERFTOP_INJECT_MODULES_H
#define PERFTOP_INJECT_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Everything is the target's word and bounded here: lists, tables, counts. Addresses are the
 * target's. Read by process_vm_readv, so it needs the right to ptrace.
 */

struct inject_module {
	uint64_t map;  /* address of its struct link_map */
	uint64_t bias; /* address = vaddr + bias */
	uint64_t symtab, strtab, strtab_bytes, gnu_hash, sysv_hash;
	uint64_t jmprel, jmprel_bytes, rela, rela_bytes;
	bool is_loader, is_vdso;
	char path[256]; /* "" for the program */
};

struct inject_modules {
	struct inject_module *v; /* in the order of the loader's search */
	uint32_t n, cap;
	uint64_t debug;	 /* address of struct r_debug */
	uint64_t loader; /* load address of the loader */
	bool busy;	 /* a library is being loaded or unloaded */
};

struct inject_symbol {
	uint64_t addr, size;
	uint32_t module; /* index of its definer */
};

/* All n bytes, or -errno. */
int inject_read(pid_t pid, uint64_t addr, void *buf, size_t n);
/* Through /proc/PID/mem, which no page protection stops: all n bytes, or -errno. */
int inject_write(pid_t pid, uint64_t addr, const void *buf, size_t n);

/* 0 or -errno: -ENOEXEC no loader's list, -EAGAIN the list is not sound at this moment. */
int inject_modules_read(struct inject_modules *m, pid_t pid);
/* Append what was loaded since: a few reads when there is nothing. */
int inject_modules_more(struct inject_modules *m, pid_t pid);
void inject_modules_fini(struct inject_modules *m);

/* First definition in the loader's order, no thread-local or indirect function. 0 or -ENOENT. */
int inject_modules_find(const struct inject_modules *m, pid_t pid, const char *name,
			struct inject_symbol *out);
/* The same in one module. */
int inject_module_find(const struct inject_module *m, pid_t pid, const char *name,
		       struct inject_symbol *out);
/* The nth of that name, from 0 on: a name can have several versions. */
int inject_module_find_nth(const struct inject_module *m, pid_t pid, const char *name, uint32_t nth,
			   struct inject_symbol *out);
/* Where a module's memory ends, from its program headers; its bias when they cannot be read. */
uint64_t inject_module_end(const struct inject_module *m, pid_t pid);

#endif
