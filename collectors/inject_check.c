/* SPDX-License-Identifier: Apache-2.0 */
/* inject_check.c: may a library be loaded into this process? If not, why, and what to do instead.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/elf_image.h"
#include "collectors/inject_priv.h"
#include "collectors/procfs.h"

const struct inject_subject inject_heap = {
	.instead = "--heap=trace watches it from the kernel",
	.launch = "--heap=sample",
	.malloc = true,
};

enum { STATUS_BYTES = 8192, PHDRS_MAX = 128 };

static int refuse(char *why, size_t why_size, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_size, fmt, ap);
	va_end(ap);
	return err;
}

/* ---- what the kernel says of it ------------------------------------------------------------- */

static const char *status_of(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? at + strlen(key) + strspn(at + strlen(key), " \t") : "";
}

static int check_status(pid_t pid, const struct inject_subject *of, char *why, size_t why_size)
{
	char text[STATUS_BYTES];
	ssize_t n = procfs_read(pid, "status", text, sizeof(text));
	char state;

	if (n <= 0)
		return refuse(why, why_size, -ESRCH, "there is no process %d", pid);
	state = *status_of(text, "\nState:");
	if (state == 'Z' || state == 'X')
		return refuse(why, why_size, -ESRCH, "process %d has ended", pid);
	if (atoi(status_of(text, "\nTracerPid:")))
		return refuse(why, why_size, -EBUSY,
			      "process %d traces it (a debugger, strace); end that first, or %s",
			      atoi(status_of(text, "\nTracerPid:")), of->instead);
	if (state == 'T' || state == 't')
		return refuse(why, why_size, -EBUSY, "it is stopped; continue it: kill -CONT %d",
			      pid);
	if (atoi(status_of(text, "\nSeccomp:")))
		return refuse(why, why_size, -EPERM,
			      "a seccomp filter may kill it for the loader's system calls; %s",
			      of->instead);
	if (!strncmp(status_of(text, "\nx86_Thread_features:"), "shstk", 5))
		return refuse(why, why_size, -ENOTSUP,
			      "it runs with a shadow stack, which forbids the way back; %s",
			      of->instead);
	return 0;
}

static int check_permission(pid_t pid, const struct inject_subject *of, char *why, size_t why_size)
{
	char path[32], scope[16] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno == ENOENT)
		return refuse(why, why_size, -ESRCH, "process %d has ended", pid);
	procfs_read(0, "sys/kernel/yama/ptrace_scope", scope, sizeof(scope));
	if (atoi(scope) == 1)
		return refuse(why, why_size, -EPERM,
			      "kernel.yama.ptrace_scope is 1: run perftop as root or with "
			      "cap_sys_ptrace, or launch the program with %s",
			      of->launch);
	return refuse(
		why, why_size, -EPERM,
		"not allowed to trace it (another user's, or set-user-ID): run perftop as root "
		"or with cap_sys_ptrace");
}

/* ---- its program ---------------------------------------------------------------------------- */

static int check_program(pid_t pid, const struct inject_subject *of, char *why, size_t why_size)
{
	Elf64_Phdr ph[PHDRS_MAX];
	Elf64_Ehdr eh;
	char path[32], loader[128] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return refuse(why, why_size, -errno, "its program cannot be read");
	n = pread(fd, &eh, sizeof(eh), 0);
	if (n == sizeof(eh) && eh.e_phnum <= PHDRS_MAX && eh.e_phentsize == sizeof(*ph))
		n = pread(fd, ph, eh.e_phnum * sizeof(*ph), (off_t)eh.e_phoff);
	else
		eh.e_phnum = 0;
	for (uint16_t i = 0; n > 0 && i < eh.e_phnum; i++)
		if (ph[i].p_type == PT_INTERP &&
		    pread(fd, loader, sizeof(loader) - 1, (off_t)ph[i].p_offset) < 0)
			break;
	close(fd);
	if (n > EI_CLASS && eh.e_ident[EI_CLASS] == ELFCLASS32)
		return refuse(why, why_size, -ENOTSUP, "it is a 32-bit program; %s", of->instead);
	if (!loader[0])
		return refuse(why, why_size, -ENOTSUP,
			      "it is linked statically, so it has no loader; %s", of->instead);
	if (strstr(loader, "musl"))
		return refuse(why, why_size, -ENOTSUP, "its C library is musl, not glibc; %s",
			      of->instead);
	return 0;
}

/* An allocator inside the program is called without a slot that could be patched. */
static int check_allocator(pid_t pid, const struct inject_modules *m, char *why, size_t why_size)
{
	static const char *const inside[] = {"je_malloc", "_rjem_malloc", "tc_malloc",
					     "mi_malloc", "rpmalloc",	  "malloc"};
	const struct elf_function *f;
	struct inject_symbol y;
	struct elf_image *e;
	const char *found = NULL;
	char path[32];
	uint32_t n = 0;
	int err;

	if (m->n && !inject_module_find(&m->v[0], pid, "malloc", &y))
		found = "malloc";
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	e = found ? NULL : elf_image_open(path, &err);
	if (e && !elf_image_functions(e, &f, &n))
		for (uint32_t i = 0; i < n && !found; i++)
			for (size_t k = 0; k < sizeof(inside) / sizeof(*inside) && !found; k++)
				found = strcmp(f[i].name, inside[k]) ? NULL : inside[k];
	elf_image_free(e);
	if (!found)
		return 0;
	return refuse(why, why_size, -ENOTSUP,
		      "it has an allocator of its own linked in (%s), called directly; %s", found,
		      inject_heap.instead);
}

int inject_check_modules(pid_t pid, const struct inject_subject *of, struct inject_modules *m,
			 struct inject_libc *l, char *why, size_t why_size)
{
	int err;

	memset(m, 0, sizeof(*m));
#ifndef __x86_64__
	return refuse(why, why_size, -ENOTSUP,
		      "loading into a running process is there for x86-64 only; %s", of->instead);
#endif
	err = check_status(pid, of, why, why_size);
	if (!err)
		err = check_permission(pid, of, why, why_size);
	if (!err)
		err = check_program(pid, of, why, why_size);
	if (err)
		return err;
	for (int i = 0; i < 20; i++) {
		inject_modules_fini(m);
		err = inject_modules_read(m, pid);
		if (!err && !m->busy)
			break;
		usleep(1000);
	}
	if (err == -EAGAIN || (!err && m->busy))
		err = refuse(why, why_size, -EAGAIN, "its loader is at work; try again");
	else if (err)
		refuse(why, why_size, err, "its list of modules cannot be read: %s",
		       strerror(-err));
	if (!err && of->malloc)
		err = check_allocator(pid, m, why, why_size);
	if (!err)
		err = inject_libc_read(l, m, pid, why, why_size);
	if (err)
		inject_modules_fini(m);
	return err;
}

int inject_check(pid_t pid, char *why, size_t why_size)
{
	struct inject_modules m;
	struct inject_libc l;
	int err;

	why[0] = '\0';
	err = inject_check_modules(pid, &inject_heap, &m, &l, why, why_size);
	inject_modules_fini(&m);
	return err;
}
