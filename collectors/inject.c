/* SPDX-License-Identifier: Apache-2.0 */
/* inject.c: loading the heap sampler into a running process. */
#include "collectors/inject.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/got_patch.h"
#include "collectors/inject_hooks.h"
#include "collectors/inject_priv.h"
#include "probes/inject_port.h"

#define LIBRARY_MAX_BYTES (64u << 20)

static int refuse(char *why, size_t why_size, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_size, fmt, ap);
	va_end(ap);
	return err;
}

#ifdef __x86_64__

/* The library's file. Reading it also brings it into the page cache, before anything stands still.
 */
struct library {
	char path[PATH_MAX];
	uint8_t *bytes;
	size_t n;
	bool as_memfd;
};

static int library_read(struct library *lib, const char *path, char *why, size_t why_size)
{
	struct stat st;
	size_t got = 0;
	int fd;

	memset(lib, 0, sizeof(*lib));
	if (!realpath(path, lib->path))
		return refuse(why, why_size, -errno, "%s: %s", path, strerror(errno));
	fd = open(lib->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return refuse(why, why_size, -errno, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) || st.st_size > LIBRARY_MAX_BYTES) {
		close(fd);
		return refuse(why, why_size, -EFBIG, "%s is too large", path);
	}
	lib->bytes = malloc((size_t)st.st_size + 1);
	while (lib->bytes && got < (size_t)st.st_size) {
		ssize_t r = pread(fd, lib->bytes + got, (size_t)st.st_size - got, (off_t)got);

		if (r <= 0)
			break;
		got += (size_t)r;
	}
	lib->n = got;
	close(fd);
	if (!lib->bytes)
		return refuse(why, why_size, -ENOMEM, "%s does not fit into memory", path);
	if (got < sizeof(Elf64_Ehdr) || memcmp(lib->bytes, ELFMAG, SELFMAG) ||
	    ((Elf64_Ehdr *)lib->bytes)->e_type != ET_DYN) {
		free(lib->bytes);
		return refuse(why, why_size, -ENOEXEC, "%s is no shared library", path);
	}
	return 0;
}

/* Does the process see our file under our name? */
static bool library_is_seen(const struct library *lib, pid_t pid)
{
	char path[PATH_MAX + 32];
	struct stat ours, theirs;

	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, lib->path);
	return !stat(lib->path, &ours) && !stat(path, &theirs) && ours.st_dev == theirs.st_dev &&
	       ours.st_ino == theirs.st_ino && theirs.st_mode & S_IROTH && strlen(lib->path) < 200;
}

/* ---- while it stands still ------------------------------------------------------------------ */

struct loading {
	pid_t pid;
	struct inject_modules *m;
	const struct inject_libc *l;
	struct library *lib;
	struct inject_thread *t;
	struct inject_result *out;
	const char *failed; /* which call */
};

static int send_memfd(struct loading *g, char *path, size_t size)
{
	struct inject_call make = {.function = g->l->memfd_create,
				   .arg1 = 1, /* MFD_CLOEXEC */
				   .text = "perftop-library",
				   .syscall = true};
	char ours[48];
	int64_t fd = -1;
	int err = inject_call(g->t, g->l, &make, &fd), file;

	g->failed = "memfd_create";
	if (err || fd < 0)
		return err ? err : (int)fd;
	snprintf(ours, sizeof(ours), "/proc/%d/fd/%d", g->pid, (int)fd);
	snprintf(path, size, "/proc/self/fd/%d", (int)fd);
	file = open(ours, O_RDWR | O_CLOEXEC);
	if (file < 0)
		return -errno;
	for (size_t at = 0; at < g->lib->n && !err;) {
		ssize_t n = pwrite(file, g->lib->bytes + at, g->lib->n - at, (off_t)at);

		if (n <= 0)
			err = -EIO;
		at += n > 0 ? (size_t)n : 0;
	}
	close(file);
	return err;
}

/* dlopen, then the library's own start when it has one. */
static int load_calls(struct loading *g)
{
	struct inject_call call = {.function = g->l->dlopen, .arg1 = g->l->dlopen_flags};
	struct inject_symbol init;
	uint32_t before = g->m->n;
	char path[PATH_MAX];
	int err = 0;

	snprintf(path, sizeof(path), "%s", g->lib->path);
	if (g->lib->as_memfd)
		err = send_memfd(g, path, sizeof(path));
	if (err)
		return err;
	call.text = path;
	g->failed = "dlopen";
	err = inject_call(g->t, g->l, &call, NULL);
	if (err)
		return err;
	if (g->lib->as_memfd) {
		call = (struct inject_call){.function = g->l->close,
					    .arg0 = (uint64_t)atoi(strrchr(path, '/') + 1)};
		g->failed = "close";
		err = inject_call(g->t, g->l, &call, NULL);
	}
	if (!err)
		err = inject_modules_more(g->m, g->pid);
	for (uint32_t i = before; !err && i < g->m->n; i++) {
		if (inject_module_find(&g->m->v[i], g->pid, INJECT_INIT_SYMBOL, &init))
			continue;
		call = (struct inject_call){.function = init.addr};
		g->failed = INJECT_INIT_SYMBOL;
		err = inject_call(g->t, g->l, &call, NULL);
		g->out->called = !err;
	}
	return err;
}

static int explain(const struct loading *g, int err, char *why, size_t why_size)
{
	switch (err) {
	case -EFAULT:
		return refuse(why, why_size, err,
			      "%s crashed in it; it was put back to where it was", g->failed);
	case -ETIMEDOUT:
		return refuse(why, why_size, err,
			      "%s takes too long; its thread %d goes on by itself when it is done",
			      g->failed, g->t->tid);
	case -ESRCH:
		return refuse(why, why_size, err, "it ended meanwhile");
	default:
		return refuse(why, why_size, err, "%s: %s", g->failed, strerror(-err));
	}
}

static int load_library(pid_t pid, pid_t only, struct inject_modules *m,
			const struct inject_libc *l, struct library *lib, struct inject_result *out,
			char *why, size_t why_size)
{
	struct inject_thread t;
	struct loading g = {.pid = pid,
			    .m = m,
			    .l = l,
			    .lib = lib,
			    .t = &t,
			    .out = out,
			    .failed = "saving its state"};
	struct inject_chooser c;
	int err = inject_chooser_init(&c, pid, l);

	c.only = only;
	if (!err)
		err = inject_choose(&c, &t);
	if (err) {
		refuse(why, why_size, err,
		       err == -EAGAIN ? "no safe moment in %u stops: its thread %s" : "%2$s%3$s",
		       c.tries, c.why, err == -EAGAIN ? "" : strerror(-err));
		goto cleanup;
	}
	err = inject_thread_save(&t, l);
	if (!err)
		err = load_calls(&g);
	if (err == -ESRCH)
		inject_thread_release(&t);
	else if (err != -ETIMEDOUT)
		inject_thread_restore(&t, inject_chooser_timeout(&c));
	out->stop_ns = t.stop_ns;
	out->probe_ns = c.probe_ns;
	out->tid = (uint32_t)t.tid;
	out->tries = c.tries;
	snprintf(out->thread_call, sizeof(out->thread_call), "%s", c.thread_call);
	if (err)
		explain(&g, err, why, why_size);
cleanup:
	inject_chooser_fini(&c);
	return err;
}

static int load_anew(pid_t pid, pid_t only, const char *so_path, struct inject_modules *m,
		     const struct inject_libc *l, struct inject_result *out, char *why,
		     size_t why_size)
{
	struct library lib;
	int err = library_read(&lib, so_path, why, why_size);

	if (err)
		return err;
	lib.as_memfd = !library_is_seen(&lib, pid);
	if (lib.as_memfd && (!l->memfd_create || !l->close))
		err = refuse(why, why_size, -ENOTSUP, "it does not see %s, and has no memfd_create",
			     so_path);
	if (!err)
		err = load_library(pid, only, m, l, &lib, out, why, why_size);
	free(lib.bytes);
	if (err)
		return err;
	/* The list may have lost modules too. */
	inject_modules_fini(m);
	err = inject_modules_read(m, pid);
	if (err)
		refuse(why, why_size, err, "its list of modules cannot be read");
	return err;
}

int inject_load_file(pid_t pid, pid_t only, const struct inject_subject *of, const char *so_path,
		     struct inject_result *out, char *why, size_t why_size)
{
	struct inject_modules m;
	struct inject_libc l;
	int err;

	memset(out, 0, sizeof(*out));
	why[0] = '\0';
	err = inject_check_modules(pid, of, &m, &l, why, why_size);
	if (!err)
		err = load_anew(pid, only, so_path, &m, &l, out, why, why_size);
	inject_modules_fini(&m);
	return err;
}

int inject_load(pid_t pid, const char *so_path, struct inject_result *out, char *why,
		size_t why_size)
{
	struct inject_modules m;
	struct inject_hooks h;
	struct inject_libc l;
	int err;

	memset(out, 0, sizeof(*out));
	why[0] = '\0';
	err = inject_check_modules(pid, &inject_heap, &m, &l, why, why_size);
	if (err)
		return err;
	err = inject_hooks_find(&h, &m, pid);
	if (err == -ENOENT) {
		err = load_anew(pid, 0, so_path, &m, &l, out, why, why_size);
		if (!err)
			err = inject_hooks_find(&h, &m, pid);
		if (err == -ENOENT)
			refuse(why, why_size, err,
			       "its dlopen refused %s (can it read that file? is its glibc older?)",
			       so_path);
	}
	if (err == -EPROTO)
		refuse(why, why_size, err, "the library in it is not of this perftop's version");
	if (err == -EALREADY)
		refuse(why, why_size, err, "the library is in it already, by preloading");
	if (!err && h.port.error)
		err = refuse(why, why_size, h.port.error < 0 ? h.port.error : -EIO,
			     "the library could not start in it: %s", strerror(abs(h.port.error)));
	if (!err)
		err = inject_hooks_apply(&h, &m, pid, out);
	if (err && !why[0])
		refuse(why, why_size, err, "%s", strerror(-err));
	inject_modules_fini(&m);
	return err;
}

#else

int inject_load_file(pid_t pid, pid_t only, const struct inject_subject *of, const char *so_path,
		     struct inject_result *out, char *why, size_t why_size)
{
	struct inject_modules m;
	struct inject_libc l;

	memset(out, 0, sizeof(*out));
	return inject_check_modules(pid, of, &m, &l, why, why_size);
}

int inject_load(pid_t pid, const char *so_path, struct inject_result *out, char *why,
		size_t why_size)
{
	memset(out, 0, sizeof(*out));
	return inject_check(pid, why, why_size);
}

#endif
