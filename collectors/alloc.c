/* SPDX-License-Identifier: Apache-2.0 */
/* alloc.c: which allocator a process uses, and whether it can be read from outside. */
#include "collectors/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/alloc_glibc.h"
#include "collectors/alloc_memory.h"
#include "collectors/alloc_place.h"
#include "collectors/clock.h"
#include "collectors/maps.h"
#include "collectors/name_words.h"
#include "collectors/snapshot.h"
#include "collectors/symbols.h"
#include "collectors/symbols_priv.h"

enum {
	TRIES = 10, /* readings that do not hold together before it is said */
	LEAS = 16,
	TRIM_BYTES = 512, /* of malloc_trim's code that are looked through */
};
/* Looked for again, at first, where it may not be there yet. */
#define AGAIN_NS     500000000ull
#define AGAIN_MAX_NS 16000000000ull

struct alloc {
	pid_t pid;
	struct symbols *syms;
	uint64_t generation; /* of the mappings that were looked at */
	uint64_t found_at;   /* the generation in which it was found */
	enum alloc_kind kind;
	char name[48], why[SNAP_TEXT];
	bool readable, looked;
	uint32_t torn; /* readings in a row that did not hold together */
	struct alloc_stats last;
	struct glibc glibc;
	const struct alloc_reader *reader; /* of an allocator that is not libc's */
	void *foreign;			   /* its state */
	uint64_t again_ns, wait_ns;	   /* when to look again; 0: only when mappings change */
};

struct alloc *alloc_new(pid_t pid, struct symbols *syms)
{
	struct alloc *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->pid = pid;
	a->syms = syms;
	a->glibc.pid = pid;
	return a;
}

void alloc_free(struct alloc *a)
{
	if (!a)
		return;
	glibc_walk_free(a->glibc.walk);
	if (a->foreign)
		a->reader->free(a->foreign);
	free(a);
}

enum alloc_kind alloc_kind(const struct alloc *a)
{
	return a->kind;
}

const char *alloc_name(const struct alloc *a)
{
	return a->name;
}

const char *alloc_why(const struct alloc *a)
{
	return a->why;
}

/* ---- recognising ----------------------------------------------------------------------------- */

/* Libraries whose malloc comes before libc's, by the beginning of their file names. */
static const struct {
	const char *prefix, *name;
	enum alloc_kind kind;
} libraries[] = {
	{"libjemalloc.", "jemalloc", ALLOC_JEMALLOC},
	{"libtcmalloc", "tcmalloc", ALLOC_TCMALLOC},
	{"libmimalloc", "mimalloc", ALLOC_MIMALLOC},
};

/* What a program that brings its own allocator defines. */
enum {
	SYM_MAIN_ARENA,
	SYM_MP,
	SYM_JEMALLOC,
	SYM_JEMALLOC_PREFIXED,
	SYM_JEMALLOC_RUST,
	SYM_TCMALLOC,
	SYM_TCMALLOC_GOOGLE,
	SYM_MIMALLOC,
	SYM_MUSL,
	SYM_GO,
	SYMS
};
static const struct alloc_symbol own_symbols[SYMS] = {
	[SYM_MAIN_ARENA] = {"main_arena", 0},
	[SYM_MP] = {"mp_", 0},
	[SYM_JEMALLOC] = {"mallctlbymib", 0},
	[SYM_JEMALLOC_PREFIXED] = {"je_mallctlbymib", 0},
	[SYM_JEMALLOC_RUST] = {"_rjem_mallctlbymib", 0},
	[SYM_TCMALLOC] = {"tc_malloc", 0},
	[SYM_TCMALLOC_GOOGLE] = {"TCMallocInternalMalloc", 0},
	[SYM_MIMALLOC] = {"mi_malloc", 0},
	[SYM_MUSL] = {"__libc_malloc_impl", 0},
	[SYM_GO] = {"runtime.mallocgc", 0},
};

static void set_why(struct alloc *a, const char *why)
{
	snprintf(a->why, sizeof(a->why), "%s", why);
}

/* What counts it all the same. */
static const char *other_way(enum alloc_kind kind, const char *where)
{
	/* A library loaded in front replaces neither what is linked in nor another libc's. */
	if (kind == ALLOC_GO)
		return ": runtime/metrics";
	return strcmp(where, "static") && kind != ALLOC_MUSL ? "; --heap=sample counts it"
							     : "; --heap=trace counts its calls";
}

/* Allocators whose figures are not read: their layout only they know. */
static void set_foreign(struct alloc *a, enum alloc_kind kind, const char *name, const char *where)
{
	a->kind = kind;
	snprintf(a->name, sizeof(a->name), "%s (%.32s)", name, where);
	snprintf(a->why, sizeof(a->why), "%s tells what is live to its own program alone%s", name,
		 other_way(kind, where));
}

static const struct symbols_module *find_module(struct alloc *a, const char *prefix)
{
	uint32_t n;
	const struct symbols_module *m = symbols_modules(a->syms, &n);
	size_t len = strlen(prefix);

	for (uint32_t i = 0; i < n; i++)
		if (!strncmp(name_of_path(m[i].path), prefix, len))
			return &m[i];
	return NULL;
}

static int open_file(struct alloc *a, const char *path)
{
	struct stat st;
	char exe[32];
	int fd;

	if (path) {
		fd = files_open_in_root(a->pid, path);
	} else {
		snprintf(exe, sizeof(exe), "/proc/%d/exe", a->pid);
		fd = open(exe, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
		close(fd);
		fd = -ENOENT;
	}
	return fd;
}

static int read_symbols(struct alloc *a, const char *path, struct alloc_symbol *symbols, uint32_t n)
{
	int fd = open_file(a, path), err;

	if (fd < 0)
		return fd;
	err = alloc_elf_symbols(fd, symbols, n);
	close(fd);
	return err;
}

static const struct alloc_reader *const readers[ALLOC_KINDS] = {
	[ALLOC_JEMALLOC] = &alloc_jemalloc,
	[ALLOC_MIMALLOC] = &alloc_mimalloc,
	[ALLOC_TCMALLOC] = &alloc_tcmalloc,
};

/* A path of NULL is the program itself. */
static void find_foreign(struct alloc *a, enum alloc_kind kind, const char *name, const char *path,
			 uint64_t bias)
{
	const char *where = path ? name_of_path(path) : "static";
	struct alloc_found found = {.state = NULL};
	struct alloc_place place = {.pid = a->pid, .fd = open_file(a, path), .bias = bias};
	int err;

	set_foreign(a, kind, name, where);
	if (place.fd < 0 || !readers[kind])
		return;
	err = readers[kind]->find(&place, &found);
	close(place.fd);
	snprintf(a->name, sizeof(a->name), "%s%s%s (%.24s)", name, found.version[0] ? " " : "",
		 found.version, where);
	if (!err) {
		a->reader = readers[kind];
		a->foreign = found.state;
		a->readable = true;
		a->why[0] = '\0';
		return;
	}
	snprintf(a->why, sizeof(a->why), "%.48s: %.120s%s", a->name, found.why,
		 other_way(kind, where));
	if (err == -EAGAIN) {
		a->wait_ns = a->wait_ns ? a->wait_ns * 2 : AGAIN_NS;
		a->again_ns = a->wait_ns <= AGAIN_MAX_NS ? clock_mono_ns() + a->wait_ns : 0;
	}
}

struct data_find {
	uint64_t addr, start, end, heap;
};

static void look_for_data(void *ctx, const struct maps_line *line)
{
	struct data_find *f = ctx;

	if (f->addr >= line->start && f->addr < line->end) {
		f->start = line->start;
		f->end = line->end;
	}
	if (!strcmp(line->path, "[heap]"))
		f->heap = line->start;
}

/* mp_ stands in the same data as main_arena. */
static void find_par(struct alloc *a, uint64_t mp)
{
	struct data_find f = {.addr = mp ? mp : a->glibc.main_arena};

	if (maps_read(a->pid, look_for_data, &f) || !f.end)
		return;
	if (mp) {
		f.start = mp;
		f.end = mp + 256 < f.end ? mp + 256 : f.end;
	}
	glibc_find_par(&a->glibc, f.start, f.end, f.heap);
}

/* "2.36" from the function that gives it. */
static void read_version(struct alloc *a, uint64_t function)
{
	uint64_t lea;
	char text[16] = "";

	if (!function || !alloc_memory_leas(a->pid, function, 32, &lea, 1) ||
	    alloc_memory_read(a->pid, lea, text, sizeof(text) - 1) || strncmp(text, "2.", 2))
		return;
	a->glibc.minor = (uint32_t)strtoul(text + 2, NULL, 10);
}

static bool version_fits(struct alloc *a)
{
	if (a->glibc.minor >= GLIBC_MINOR_FIRST && a->glibc.minor <= GLIBC_MINOR_LAST)
		return true;
	if (a->glibc.minor)
		snprintf(a->why, sizeof(a->why),
			 "glibc 2.%u: the layout of its heap is known for 2.%d to 2.%d",
			 a->glibc.minor, GLIBC_MINOR_FIRST, GLIBC_MINOR_LAST);
	else
		set_why(a, "its version could not be read, so the layout of its heap is not known");
	return false;
}

static void find_glibc(struct alloc *a, const struct symbols_module *m)
{
	struct alloc_symbol s[] = {{"malloc_trim", 0}, {"gnu_get_libc_version", 0}};
	uint64_t leas[LEAS];
	uint32_t n;
	int err = read_symbols(a, m->path, s, 2);

	a->kind = ALLOC_GLIBC;
	read_version(a, s[1].vaddr ? m->bias + s[1].vaddr : 0);
	snprintf(a->name, sizeof(a->name), a->glibc.minor ? "glibc 2.%u" : "glibc", a->glibc.minor);
	if (err || !s[0].vaddr) {
		set_why(a, "its file cannot be read");
		return;
	}
	if (!version_fits(a))
		return;
	set_why(a, "its main arena was not found from the code of malloc_trim");
	n = alloc_memory_leas(a->pid, m->bias + s[0].vaddr, TRIM_BYTES, leas, LEAS);
	for (uint32_t i = 0; i < n; i++) {
		err = glibc_check_arena(&a->glibc, leas[i]);
		if (err == -EPERM || err == -ESRCH) {
			set_why(a, "no permission to read its memory");
			return;
		}
		if (err && err != -EAGAIN)
			continue;
		a->glibc.main_arena = leas[i];
		a->readable = true;
		a->why[0] = '\0';
		find_par(a, 0);
		return;
	}
}

static void find_static_glibc(struct alloc *a, const struct alloc_symbol *s, uint64_t bias)
{
	a->kind = ALLOC_GLIBC;
	snprintf(a->name, sizeof(a->name), "glibc (static)");
	a->glibc.main_arena = bias + s[SYM_MAIN_ARENA].vaddr;
	/* Which version it is stands nowhere; lists that do not hold together are not believed. */
	a->glibc.minor = GLIBC_MINOR_LAST;
	if (glibc_check_arena(&a->glibc, a->glibc.main_arena) == -EBADMSG) {
		set_why(a, "what its symbol main_arena names has another layout than glibc 2.27 to "
			   "2.41");
		return;
	}
	a->readable = true;
	find_par(a, s[SYM_MP].vaddr ? bias + s[SYM_MP].vaddr : 0);
}

static const struct symbols_module *main_module(struct alloc *a)
{
	char exe[32], path[256];
	const struct symbols_module *m;
	ssize_t len;
	uint32_t n;

	snprintf(exe, sizeof(exe), "/proc/%d/exe", a->pid);
	len = readlink(exe, path, sizeof(path) - 1);
	if (len < 0)
		return NULL;
	path[len] = '\0';
	m = symbols_modules(a->syms, &n);
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(m[i].path, path))
			return &m[i];
	return n ? &m[0] : NULL;
}

/* A program may also have the name of one that it does not use. */
static bool is_message(void *ctx, const char *text)
{
	bool *has = ctx;

	has[ALLOC_JEMALLOC] |= !strncmp(text, "<jemalloc>: ", 12);
	has[ALLOC_MIMALLOC] |= !strncmp(text, "mimalloc: ", 10);
	has[ALLOC_TCMALLOC] |= !strncmp(text, "tcmalloc.", 9);
	return false;
}

/* Without symbols: an allocator whose messages the file has, and whose variables are there. */
static bool find_unnamed(struct alloc *a, uint64_t bias)
{
	bool has[ALLOC_KINDS] = {false};
	int fd = open_file(a, NULL);

	if (fd < 0)
		return false;
	if (alloc_file_stripped(fd))
		alloc_file_strings(fd, "malloc", is_message, has);
	close(fd);
	for (uint32_t i = 0; !a->readable && i < sizeof(libraries) / sizeof(libraries[0]); i++)
		if (has[libraries[i].kind])
			find_foreign(a, libraries[i].kind, libraries[i].name, NULL, bias);
	return a->readable;
}

/* A program that has an allocator linked in; false: it has none that is known. */
static bool find_own(struct alloc *a)
{
	struct alloc_symbol s[SYMS];
	const struct symbols_module *m = main_module(a);

	memcpy(s, own_symbols, sizeof(s));
	if (!m || read_symbols(a, NULL, s, SYMS))
		return false;
	if (s[SYM_JEMALLOC].vaddr || s[SYM_JEMALLOC_PREFIXED].vaddr || s[SYM_JEMALLOC_RUST].vaddr)
		find_foreign(a, ALLOC_JEMALLOC, "jemalloc", NULL, m->bias);
	else if (s[SYM_TCMALLOC].vaddr || s[SYM_TCMALLOC_GOOGLE].vaddr)
		find_foreign(a, ALLOC_TCMALLOC, "tcmalloc", NULL, m->bias);
	else if (s[SYM_MIMALLOC].vaddr)
		find_foreign(a, ALLOC_MIMALLOC, "mimalloc", NULL, m->bias);
	else if (s[SYM_MAIN_ARENA].vaddr)
		find_static_glibc(a, s, m->bias);
	else if (s[SYM_MUSL].vaddr)
		set_foreign(a, ALLOC_MUSL, "musl", "static");
	else if (s[SYM_GO].vaddr)
		set_foreign(a, ALLOC_GO, "Go", "its own heap");
	else
		return find_unnamed(a, m->bias);
	return true;
}

static void find(struct alloc *a)
{
	const struct symbols_module *m;

	a->kind = ALLOC_UNKNOWN;
	a->name[0] = '\0';
	a->readable = false;
	a->torn = 0;
	a->found_at = a->generation;
	if (a->foreign)
		a->reader->free(a->foreign);
	a->foreign = NULL;
	a->glibc.main_arena = a->glibc.tcache_bins = 0;
	set_why(a, "no allocator was recognised, neither among its libraries nor by its symbols");
	for (uint32_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
		m = find_module(a, libraries[i].prefix);
		if (m) {
			find_foreign(a, libraries[i].kind, libraries[i].name, m->path, m->bias);
			return;
		}
	}
	if (find_own(a))
		return;
	if ((m = find_module(a, "libc.so.6")) || (m = find_module(a, "libc-2.")))
		find_glibc(a, m);
	else if ((m = find_module(a, "ld-musl-")) || (m = find_module(a, "libc.musl-")) ||
		 ((m = find_module(a, "libc.so")) && strstr(m->path, "musl")))
		set_foreign(a, ALLOC_MUSL, "musl", name_of_path(m->path));
}

/* ---- reading --------------------------------------------------------------------------------- */

void alloc_look(struct alloc *a)
{
	if (a->looked || !a->syms)
		return;
	a->generation = symbols_generation(a->syms);
	find(a);
	/* A process may be so young that there is more to see at the first reading. */
	a->looked = a->readable;
	a->wait_ns = a->again_ns = 0;
}

int alloc_read(struct alloc *a, uint64_t now_ns, uint64_t budget_ns, struct alloc_stats *out)
{
	int err;

	*out = a->last;
	if (!a->syms) {
		set_why(a, "its mappings cannot be read");
		return -EPERM;
	}
	if (symbols_generation(a->syms) != a->generation)
		a->wait_ns = 0;
	if (!a->looked || symbols_generation(a->syms) != a->generation ||
	    (a->again_ns && now_ns >= a->again_ns)) {
		a->looked = true;
		a->again_ns = 0;
		a->generation = symbols_generation(a->syms);
		/* Libraries that come later change nothing for an allocator that is found. */
		if (!a->readable)
			find(a);
	}
	/* Unless another program has taken the process over. */
	if (a->readable && a->torn >= TRIES && a->found_at != a->generation)
		find(a);
	if (!a->readable)
		return -ENOTSUP;
	err = a->foreign ? a->reader->read(a->foreign, now_ns, budget_ns, out)
			 : glibc_read(&a->glibc, now_ns, budget_ns, out);
	if (!err) {
		/* mp_ shows what it is once malloc has been used. */
		a->torn = 0;
		a->why[0] = '\0';
		a->last = *out;
		return 0;
	}
	*out = a->last;
	if (err == -EINPROGRESS) {
		set_why(a, "what its heap holds is still being counted");
		return -EAGAIN;
	}
	if (++a->torn >= TRIES)
		snprintf(a->why, sizeof(a->why),
			 "it changes faster than it can be read: the last %u readings did not hold "
			 "together",
			 a->torn);
	return err;
}
