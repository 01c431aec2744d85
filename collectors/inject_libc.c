/* SPDX-License-Identifier: Apache-2.0 */
/* inject_libc.c: addresses in the C library of a running process. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/inject_priv.h"
#include "collectors/maps.h"

enum { TEXT_MAX_BYTES = 64 << 20 };

/*
 * A thread in one of these may hold the loader's lock or an allocator's, or stand between two
 * halves of something that dlopen would see. Symbols at the same address need not be repeated.
 */
static const char *const held_names[] = {
	"malloc",
	"free",
	"calloc",
	"realloc",
	"memalign",
	"aligned_alloc",
	"posix_memalign",
	"valloc",
	"pvalloc",
	"reallocarray",
	"malloc_trim",
	"malloc_info",
	"malloc_stats",
	"mallinfo",
	"mallinfo2",
	"mallopt",
	"malloc_usable_size",
	"__libc_freeres",
	"dlopen",
	"dlmopen",
	"dlclose",
	"dlsym",
	"dlvsym",
	"dlinfo",
	"dladdr",
	"dladdr1",
	"dlerror",
	"__libc_dlopen_mode",
	"__libc_dlsym",
	"__libc_dlclose",
	"dl_iterate_phdr",
	"_dl_find_object",
	"fork",
	"_Fork",
	"vfork",
	"posix_spawn",
	"posix_spawnp",
	"system",
	"popen",
	"exit",
	"quick_exit",
	"_exit",
	"__cxa_atexit",
	"__cxa_finalize",
	"__cxa_thread_atexit_impl",
	"__call_tls_dtors",
	"pthread_create",
	"pthread_exit",
	"_dl_allocate_tls",
	"__tls_get_addr",
	"longjmp",
	"setcontext",
	"swapcontext",
	"__register_atfork",
	"iconv_open",
	"nl_langinfo",
	"__nss_database_get",
	"getaddrinfo",
	"raise",
	"abort",
};

/* All versions of a name, in all modules: interposed ones lead to those of the C library. */
static void find_held(struct inject_libc *l, const struct inject_modules *m, pid_t pid)
{
	for (size_t i = 0; i < sizeof(held_names) / sizeof(*held_names); i++) {
		for (uint32_t k = 0; k < m->n; k++) {
			struct inject_symbol y;

			for (uint32_t nth = 0;
			     l->nheld < INJECT_RANGES &&
			     !inject_module_find_nth(&m->v[k], pid, held_names[i], nth, &y);
			     nth++)
				if (y.size)
					l->held[l->nheld++] = (struct inject_range){
						.start = y.addr, .end = y.addr + y.size};
		}
	}
}

struct text {
	uint64_t at, start, end;
};

static void text_line(void *ctx, const struct maps_line *l)
{
	struct text *t = ctx;

	if (l->exec && t->at >= l->start && t->at < l->end) {
		t->start = l->start;
		t->end = l->end;
	}
}

/* Code that every libc has, though it exports no name for it. */
static int find_gadgets(struct inject_libc *l, pid_t pid)
{
	static const uint8_t pop_rdi[] = {0x5f, 0xc3};
	static const uint8_t restore[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
	struct text t = {.at = l->raise};
	uint8_t *code, *at;
	int err = maps_read(pid, text_line, &t);

	if (err || !t.end || t.end - t.start > TEXT_MAX_BYTES)
		return err ? err : -ENOENT;
	code = malloc(t.end - t.start);
	if (!code)
		return -ENOMEM;
	err = inject_read(pid, t.start, code, t.end - t.start);
	if (!err) {
		at = memmem(code, t.end - t.start, pop_rdi, sizeof(pop_rdi));
		l->pop_rdi = at ? t.start + (uint64_t)(at - code) : 0;
		at = memmem(code, t.end - t.start, restore, sizeof(restore));
		l->restore = at ? t.start + (uint64_t)(at - code) : 0;
	}
	free(code);
	if (!err && (!l->pop_rdi || !l->restore))
		err = -ENOENT;
	return err;
}

/*
 * Where errno is from the thread pointer on: __errno_location is
 * (endbr64) mov SLOT(%rip), %rax; add %fs:0, %rax; ret, and the slot holds the offset.
 */
static void find_errno(struct inject_libc *l, const struct inject_module *libc, pid_t pid)
{
	static const uint8_t endbr64[4] = {0xf3, 0x0f, 0x1e, 0xfa};
	static const uint8_t add_ret[] = {0x64, 0x48, 0x03, 0x04, 0x25, 0, 0, 0, 0, 0xc3};
	struct inject_symbol y;
	uint8_t code[24], *at = code;
	int32_t rel;
	uint64_t next;

	if (inject_module_find(libc, pid, "__errno_location", &y) ||
	    inject_read(pid, y.addr, code, sizeof(code)))
		return;
	if (!memcmp(at, endbr64, sizeof(endbr64)))
		at += sizeof(endbr64);
	if (at[0] != 0x48 || at[1] != 0x8b || at[2] != 0x05 ||
	    memcmp(at + 7, add_ret, sizeof(add_ret)))
		return;
	memcpy(&rel, at + 3, sizeof(rel));
	next = y.addr + (uint64_t)(at - code) + 7;
	l->has_errno = !inject_read(pid, next + (uint64_t)(int64_t)rel, &l->errno_offset,
				    sizeof(l->errno_offset));
}

static uint64_t find_function(const struct inject_modules *m, pid_t pid, const char *name)
{
	struct inject_symbol y;

	return inject_modules_find(m, pid, name, &y) ? 0 : y.addr;
}

static int refuse(char *why, size_t why_size, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_size, fmt, ap);
	va_end(ap);
	return err;
}

int inject_libc_read(struct inject_libc *l, const struct inject_modules *m, pid_t pid, char *why,
		     size_t why_size)
{
	const struct inject_module *libc = NULL;
	struct inject_symbol y;

	memset(l, 0, sizeof(*l));
	for (uint32_t i = 0; i < m->n; i++) {
		if (!inject_module_find(&m->v[i], pid, "gnu_get_libc_version", &y))
			libc = &m->v[i];
		if (m->v[i].is_loader)
			l->loader = (struct inject_range){.start = m->v[i].bias,
							  .end = inject_module_end(&m->v[i], pid)};
	}
	if (!libc)
		return refuse(why, why_size, -ENOTSUP,
			      "its C library is not glibc; launch it with --heap=sample instead");
	l->libc = (struct inject_range){.start = libc->bias, .end = inject_module_end(libc, pid)};
	/* 2.34 moved dlopen into libc; before, libc has one under a name of its own. */
	l->dlopen_flags = 0x1002; /* RTLD_NODELETE | RTLD_NOW */
	l->dlopen = find_function(m, pid, "dlopen");
	if (!l->dlopen) {
		l->dlopen = find_function(m, pid, "__libc_dlopen_mode");
		l->dlopen_flags |= 0x80000000u; /* __RTLD_DLOPEN */
	}
	if (!inject_module_find(libc, pid, "raise", &y))
		l->raise = y.addr;
	l->memfd_create = find_function(m, pid, "memfd_create");
	l->close = find_function(m, pid, "close");
	if (!l->dlopen || !l->raise || find_gadgets(l, pid))
		return refuse(why, why_size, -ENOTSUP, "its C library lacks what loading needs");
	find_errno(l, libc, pid);
	if (!inject_modules_find(m, pid, "malloc", &y))
		l->allocator =
			(struct inject_range){.start = m->v[y.module].bias,
					      .end = inject_module_end(&m->v[y.module], pid)};
	find_held(l, m, pid);
	return 0;
}
