/* SPDX-License-Identifier: Apache-2.0 */
/* inject_modules.c: the loader's list of modules in a running process. */
#include "collectors/inject_modules.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	MODULES_MAX = 8192,
	DYNAMIC_MAX = 512,
	DYNAMIC_BATCH = 32,
	PHDRS_MAX = 128,
	AUXV_MAX = 64,
	CHAIN_MAX = 65536, /* symbols looked at in one hash chain */
};

int inject_read(pid_t pid, uint64_t addr, void *buf, size_t n)
{
	struct iovec to = {.iov_base = buf, .iov_len = n};
	struct iovec from = {.iov_base = (void *)(uintptr_t)addr, .iov_len = n};
	ssize_t r = process_vm_readv(pid, &to, 1, &from, 1, 0);

	if (r < 0)
		return -errno;
	return (size_t)r == n ? 0 : -EFAULT;
}

int inject_write(pid_t pid, uint64_t addr, const void *buf, size_t n)
{
	char path[32];
	ssize_t r;
	int fd, err = 0;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = pwrite(fd, buf, n, (off_t)addr);
	if (r < 0)
		err = -errno;
	else if ((size_t)r != n)
		err = -EFAULT;
	close(fd);
	return err;
}

/* A string that may end at a page that is not there. */
static void read_string(pid_t pid, uint64_t addr, char *buf, size_t size)
{
	size_t n = 0;

	while (addr && n < size - 1) {
		size_t part = 4096 - ((addr + n) & 4095);

		part = part < size - 1 - n ? part : size - 1 - n;
		if (inject_read(pid, addr + n, buf + n, part))
			break;
		if (memchr(buf + n, '\0', part))
			return;
		n += part;
	}
	buf[n] = '\0';
}

/* ---- finding the list ----------------------------------------------------------------------- */

struct program {
	uint64_t phdr, phnum, loader;
};

static int program_read(pid_t pid, struct program *p)
{
	ElfW(auxv_t) v[AUXV_MAX];
	char path[32];
	ssize_t r;
	int fd;

	memset(p, 0, sizeof(*p));
	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = read(fd, v, sizeof(v));
	close(fd);
	for (size_t i = 0; r > 0 && i < (size_t)r / sizeof(*v); i++) {
		if (v[i].a_type == AT_PHDR)
			p->phdr = v[i].a_un.a_val;
		else if (v[i].a_type == AT_PHNUM)
			p->phnum = v[i].a_un.a_val;
		else if (v[i].a_type == AT_BASE)
			p->loader = v[i].a_un.a_val;
	}
	return p->phdr && p->phnum && p->phnum <= PHDRS_MAX && p->loader ? 0 : -ENOEXEC;
}

/* Address of struct r_debug, which the loader leaves in the program's dynamic section. */
static int find_debug(pid_t pid, const struct program *p, uint64_t *debug)
{
	ElfW(Phdr) ph[PHDRS_MAX];
	uint64_t dynamic = 0, self = 0;
	int err = inject_read(pid, p->phdr, ph, p->phnum * sizeof(*ph));

	for (uint64_t i = 0; !err && i < p->phnum; i++) {
		if (ph[i].p_type == PT_PHDR)
			self = ph[i].p_vaddr;
		else if (ph[i].p_type == PT_DYNAMIC)
			dynamic = ph[i].p_vaddr;
	}
	if (err || !dynamic || !self)
		return err ? err : -ENOEXEC;
	dynamic += p->phdr - self;
	for (int i = 0; i < DYNAMIC_MAX; i++) {
		ElfW(Dyn) d;

		err = inject_read(pid, dynamic + (uint64_t)i * sizeof(d), &d, sizeof(d));
		if (err || d.d_tag == DT_NULL)
			break;
		/* The loader fills it in: 0, it has not come to that yet. */
		if (d.d_tag == DT_DEBUG) {
			*debug = d.d_un.d_val;
			return *debug ? 0 : -EAGAIN;
		}
	}
	return -ENOEXEC;
}

/* ---- one module ----------------------------------------------------------------------------- */

/* glibc writes addresses into most dynamic sections; those it may not write to hold vaddrs. */
static uint64_t rebase(const struct inject_module *m, uint64_t v)
{
	return v < m->bias ? v + m->bias : v;
}

static void module_take(struct inject_module *m, int64_t tag, uint64_t v)
{
	switch (tag) {
	case DT_SYMTAB:
		m->symtab = rebase(m, v);
		break;
	case DT_STRTAB:
		m->strtab = rebase(m, v);
		break;
	case DT_STRSZ:
		m->strtab_bytes = v;
		break;
	case DT_GNU_HASH:
		m->gnu_hash = rebase(m, v);
		break;
	case DT_HASH:
		m->sysv_hash = rebase(m, v);
		break;
	case DT_JMPREL:
		m->jmprel = rebase(m, v);
		break;
	case DT_PLTRELSZ:
		m->jmprel_bytes = v;
		break;
	case DT_RELA:
		m->rela = rebase(m, v);
		break;
	case DT_RELASZ:
		m->rela_bytes = v;
		break;
	default:
		break;
	}
}

static int module_read(struct inject_module *m, pid_t pid, uint64_t dynamic)
{
	ElfW(Dyn) d[DYNAMIC_BATCH];
	uint32_t batch = DYNAMIC_BATCH;

	for (uint32_t at = 0; at < DYNAMIC_MAX; at += batch) {
		int err = inject_read(pid, dynamic + at * sizeof(*d), d, batch * sizeof(*d));

		/* It may end near a page that is not there. */
		if (err && batch == 1)
			return err;
		if (err) {
			batch = 1;
			at--;
			continue;
		}
		for (uint32_t i = 0; i < batch; i++) {
			if (d[i].d_tag == DT_NULL)
				return 0;
			module_take(m, d[i].d_tag, d[i].d_un.d_val);
		}
	}
	return 0;
}

static struct inject_module *modules_add(struct inject_modules *m)
{
	if (m->n == m->cap) {
		uint32_t cap = m->cap ? m->cap * 2 : 32;
		struct inject_module *v = realloc(m->v, cap * sizeof(*v));

		if (!v)
			return NULL;
		m->v = v;
		m->cap = cap;
	}
	memset(&m->v[m->n], 0, sizeof(*m->v));
	return &m->v[m->n++];
}

static int modules_walk(struct inject_modules *m, pid_t pid, uint64_t map, uint64_t previous)
{
	while (map) {
		struct inject_module *add;
		struct link_map l;
		int err = inject_read(pid, map, &l, sizeof(l));

		/* A list that changes under us does not lead back. */
		if (err || (uintptr_t)l.l_prev != previous || m->n == MODULES_MAX)
			return -EAGAIN;
		add = modules_add(m);
		if (!add)
			return -ENOMEM;
		add->map = map;
		add->bias = l.l_addr;
		read_string(pid, (uintptr_t)l.l_name, add->path, sizeof(add->path));
		add->is_loader = l.l_addr == m->loader;
		add->is_vdso = !strncmp(add->path, "linux-vdso", 10);
		if (l.l_ld && module_read(add, pid, (uintptr_t)l.l_ld))
			return -EAGAIN;
		previous = map;
		map = (uintptr_t)l.l_next;
	}
	return m->n ? 0 : -EAGAIN; /* as empty as it begins */
}

int inject_modules_read(struct inject_modules *m, pid_t pid)
{
	struct r_debug debug;
	struct program p;
	int err = program_read(pid, &p);

	memset(m, 0, sizeof(*m));
	if (!err)
		err = find_debug(pid, &p, &m->debug);
	if (!err)
		err = inject_read(pid, m->debug, &debug, sizeof(debug));
	if (err)
		return err;
	m->busy = debug.r_state != RT_CONSISTENT;
	m->loader = p.loader;
	err = modules_walk(m, pid, (uintptr_t)debug.r_map, 0);
	if (err)
		inject_modules_fini(m);
	return err;
}

int inject_modules_more(struct inject_modules *m, pid_t pid)
{
	struct link_map l;
	int err;

	if (!m->n)
		return -ENOENT;
	err = inject_read(pid, m->v[m->n - 1].map, &l, sizeof(l));
	return err ? err : modules_walk(m, pid, (uintptr_t)l.l_next, m->v[m->n - 1].map);
}

void inject_modules_fini(struct inject_modules *m)
{
	free(m->v);
	m->v = NULL;
	m->n = m->cap = 0;
}

uint64_t inject_module_end(const struct inject_module *m, pid_t pid)
{
	uint64_t end = 0;
	ElfW(Phdr) ph;
	ElfW(Ehdr) eh;

	if (inject_read(pid, m->bias, &eh, sizeof(eh)) || memcmp(eh.e_ident, ELFMAG, SELFMAG))
		return m->bias;
	for (uint32_t i = 0; i < eh.e_phnum && i < PHDRS_MAX; i++) {
		if (inject_read(pid, m->bias + eh.e_phoff + i * sizeof(ph), &ph, sizeof(ph)))
			break;
		if (ph.p_type == PT_LOAD && ph.p_vaddr + ph.p_memsz > end)
			end = ph.p_vaddr + ph.p_memsz;
	}
	return m->bias + end;
}

/* ---- symbols -------------------------------------------------------------------------------- */

static bool symbol_is(const struct inject_module *m, pid_t pid, uint32_t index, const char *name,
		      struct inject_symbol *out)
{
	char text[64];
	ElfW(Sym) y;
	unsigned type;

	if (inject_read(pid, m->symtab + (uint64_t)index * sizeof(y), &y, sizeof(y)) ||
	    y.st_shndx == SHN_UNDEF || !y.st_value || y.st_name >= m->strtab_bytes)
		return false;
	type = ELF64_ST_TYPE(y.st_info);
	if (type == STT_TLS || type == STT_GNU_IFUNC || ELF64_ST_BIND(y.st_info) == STB_LOCAL)
		return false;
	read_string(pid, m->strtab + y.st_name, text, sizeof(text));
	if (strcmp(text, name))
		return false;
	out->addr = y.st_value + m->bias;
	out->size = y.st_size;
	return true;
}

/* The GNU hash table: header, Bloom filter, buckets, chains whose last entry has bit 0 set. */
static int find_gnu(const struct inject_module *m, pid_t pid, const char *name, uint32_t nth,
		    struct inject_symbol *out)
{
	uint32_t head[4], h = 5381, at;
	uint64_t buckets, word;

	for (const char *s = name; *s; s++)
		h = h * 33 + (unsigned char)*s;
	if (inject_read(pid, m->gnu_hash, head, sizeof(head)) || !head[0] || !head[2] ||
	    inject_read(pid, m->gnu_hash + sizeof(head) + (h / 64) % head[2] * 8ull, &word, 8))
		return -ENOENT;
	if (!(word >> h % 64 & 1) || !(word >> (h >> head[3] % 32) % 64 & 1))
		return -ENOENT;
	buckets = m->gnu_hash + sizeof(head) + head[2] * 8ull;
	if (inject_read(pid, buckets + h % head[0] * 4ull, &at, 4) || at < head[1])
		return -ENOENT;
	for (int i = 0; i < CHAIN_MAX; i++, at++) {
		uint32_t hash;

		if (inject_read(pid, buckets + head[0] * 4ull + (at - head[1]) * 4ull, &hash, 4))
			return -ENOENT;
		if ((hash | 1) == (h | 1) && symbol_is(m, pid, at, name, out) && !nth--)
			return 0;
		if (hash & 1)
			break;
	}
	return -ENOENT;
}

static int find_sysv(const struct inject_module *m, pid_t pid, const char *name, uint32_t nth,
		     struct inject_symbol *out)
{
	uint32_t head[2], h = 0, at;

	for (const char *s = name; *s; s++) {
		h = (h << 4) + (unsigned char)*s;
		h = (h ^ (h & 0xf0000000) >> 24) & 0x0fffffff;
	}
	if (inject_read(pid, m->sysv_hash, head, sizeof(head)) || !head[0] ||
	    inject_read(pid, m->sysv_hash + 8 + h % head[0] * 4ull, &at, 4))
		return -ENOENT;
	for (int i = 0; at && at < head[1] && i < CHAIN_MAX; i++) {
		if (symbol_is(m, pid, at, name, out) && !nth--)
			return 0;
		if (inject_read(pid, m->sysv_hash + 8 + (head[0] + (uint64_t)at) * 4, &at, 4))
			break;
	}
	return -ENOENT;
}

int inject_module_find_nth(const struct inject_module *m, pid_t pid, const char *name, uint32_t nth,
			   struct inject_symbol *out)
{
	memset(out, 0, sizeof(*out));
	if (!m->symtab || !m->strtab || m->is_vdso)
		return -ENOENT;
	if (m->gnu_hash)
		return find_gnu(m, pid, name, nth, out);
	return m->sysv_hash ? find_sysv(m, pid, name, nth, out) : -ENOENT;
}

int inject_module_find(const struct inject_module *m, pid_t pid, const char *name,
		       struct inject_symbol *out)
{
	return inject_module_find_nth(m, pid, name, 0, out);
}

int inject_modules_find(const struct inject_modules *m, pid_t pid, const char *name,
			struct inject_symbol *out)
{
	for (uint32_t i = 0; i < m->n; i++) {
		if (!inject_module_find(&m->v[i], pid, name, out)) {
			out->module = i;
			return 0;
		}
	}
	return -ENOENT;
}
