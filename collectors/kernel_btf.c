/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_btf.c: one walk through BTF, and a copy of the types that are needed. */
#include "collectors/kernel_btf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	HASH_BITS = 10,
	HASH_SIZE = 1 << HASH_BITS,
	MIN_TYPE = sizeof(struct btf_type),
	MAX_COPIED = UINT16_MAX, /* types: some 1,500 are */
	MARK_EVERY = 32,	 /* a place for each would take a page of memory for 1,024 */
};

/* BTF as it is walked through. */
struct walk {
	const char *types, *strings;
	uint32_t types_size, strings_size;
	uint32_t *marks; /* of each MARK_EVERYth number, where in types */
	uint32_t n;	 /* numbers; 0 is void */
};

/* Numbers of the types to copy, in the order of their new ones, which begin with 1. */
struct copy {
	uint32_t *from; /* by new number - 1 */
	uint16_t *to;	/* by old number, 0: not copied */
	uint32_t n;
	char *out;
	size_t size, room;
	char *strings;
	size_t strings_size, strings_room;
};

int kernel_btf_want(struct kernel_btf *k, const char *name, uint32_t kind, bool whole)
{
	for (uint32_t i = 0; i < k->n; i++)
		if (k->names[i].kind == kind && !strcmp(k->names[i].name, name))
			return 0;
	if (k->n == KERNEL_BTF_NAMES)
		return -ENOSPC;
	k->names[k->n++] =
		(struct kernel_btf_name){.name = name, .kind = kind, .whole = whole, .id = 0};
	return 0;
}

uint32_t kernel_btf_id(const struct kernel_btf *k, const char *name, uint32_t kind)
{
	for (uint32_t i = 0; i < k->n; i++)
		if (k->names[i].kind == kind && !strcmp(k->names[i].name, name))
			return k->names[i].id;
	return 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* What follows the common head of a type; -1 for a kind that is not known. */
static long tail_size(const struct btf_type *t)
{
	static const struct {
		uint8_t known, once, each; /* bytes */
	} kinds[32] = {
		[BTF_KIND_PTR] = {1, 0, 0},
		[BTF_KIND_FWD] = {1, 0, 0},
		[BTF_KIND_TYPEDEF] = {1, 0, 0},
		[BTF_KIND_VOLATILE] = {1, 0, 0},
		[BTF_KIND_CONST] = {1, 0, 0},
		[BTF_KIND_RESTRICT] = {1, 0, 0},
		[BTF_KIND_FUNC] = {1, 0, 0}, /* its length says how it is linked */
		[BTF_KIND_FLOAT] = {1, 0, 0},
		[BTF_KIND_TYPE_TAG] = {1, 0, 0},
		[BTF_KIND_INT] = {1, sizeof(uint32_t), 0},
		[BTF_KIND_ARRAY] = {1, sizeof(struct btf_array), 0},
		[BTF_KIND_STRUCT] = {1, 0, sizeof(struct btf_member)},
		[BTF_KIND_UNION] = {1, 0, sizeof(struct btf_member)},
		[BTF_KIND_ENUM] = {1, 0, sizeof(struct btf_enum)},
		[BTF_KIND_ENUM64] = {1, 0, sizeof(struct btf_enum64)},
		[BTF_KIND_FUNC_PROTO] = {1, 0, sizeof(struct btf_param)},
		[BTF_KIND_VAR] = {1, sizeof(struct btf_var), 0},
		[BTF_KIND_DATASEC] = {1, 0, sizeof(struct btf_var_secinfo)},
		[BTF_KIND_DECL_TAG] = {1, sizeof(struct btf_decl_tag), 0},
	};
	uint32_t kind = BTF_INFO_KIND(t->info);

	return kinds[kind].known
		       ? kinds[kind].once + (long)BTF_INFO_VLEN(t->info) * kinds[kind].each
		       : -1;
}

static int walk_open(struct walk *w, const void *btf, size_t size)
{
	struct btf_header h;
	size_t left;

	if (size < sizeof(h))
		return -EINVAL;
	memcpy(&h, btf, sizeof(h));
	if (h.magic != BTF_MAGIC || h.version != BTF_VERSION || h.hdr_len > size)
		return -EINVAL;
	left = size - h.hdr_len;
	if (h.type_off > left || h.type_len > left - h.type_off || h.str_off > left ||
	    h.str_len > left - h.str_off || h.type_off % 4 || h.hdr_len % 4 || !h.str_len)
		return -EINVAL;
	w->types = (const char *)btf + h.hdr_len + h.type_off;
	w->types_size = h.type_len;
	w->strings = (const char *)btf + h.hdr_len + h.str_off;
	w->strings_size = h.str_len;
	return w->strings[h.str_len - 1] ? -EINVAL : 0;
}

static const struct btf_type *walk_type(const struct walk *w, uint32_t id)
{
	uint32_t n = id / MARK_EVERY * MARK_EVERY;
	const char *at = w->types + w->marks[id / MARK_EVERY];

	/* The first is 1. */
	for (n = n ? n : 1; n < id; n++)
		at += MIN_TYPE + tail_size((const struct btf_type *)at);
	return (const struct btf_type *)at;
}

/* Strings end within their part: its last byte is 0. */
static const char *walk_string(const struct walk *w, uint32_t at)
{
	return at < w->strings_size ? w->strings + at : "";
}

/* ---- finding ------------------------------------------------------------------------------- */

/*
 * Names are looked for in the strings, where each stands once, in the order of memory; types are
 * then told by where their name stands. To follow the name of each type takes twice as long.
 */
struct places {
	struct {
		uint32_t at;   /* in the strings; 0: free */
		uint32_t name; /* index of a name that is the same */
	} table[HASH_SIZE];
	uint64_t ends[64]; /* of each length: a bit for what names of it begin and end with */
};

static uint64_t ends_of(const char *s, size_t len)
{
	return 1ull << ((uint8_t)s[0] * 5u + (uint8_t)s[len - 1]) % 64;
}

static uint32_t place_hash(uint32_t at)
{
	return at * 2654435761u >> (32 - HASH_BITS);
}

/* Is it one of the names? */
static bool place_add(const struct kernel_btf *k, struct places *p, const char *s, uint32_t at)
{
	uint32_t h = place_hash(at), i = 0;

	while (i < k->n && strcmp(k->names[i].name, s))
		i++;
	if (i == k->n)
		return false;
	while (p->table[h].at)
		h = (h + 1) % HASH_SIZE;
	p->table[h].at = at;
	p->table[h].name = i;
	return true;
}

static void find_places(const struct kernel_btf *k, const struct walk *w, struct places *p)
{
	uint32_t found = 0, at = 1;

	memset(p, 0, sizeof(*p));
	for (uint32_t i = 0; i < k->n; i++) {
		size_t len = strlen(k->names[i].name);

		if (len && len < 64)
			p->ends[len] |= ends_of(k->names[i].name, len);
	}
	/* The table stays half empty, whatever the strings hold. */
	while (at < w->strings_size && found < HASH_SIZE / 2) {
		const char *s = w->strings + at;
		size_t len = strlen(s);

		if (len && len < 64 && p->ends[len] & ends_of(s, len))
			found += place_add(k, p, s, at);
		at += (uint32_t)len + 1;
	}
}

static struct kernel_btf_name *find_name(struct kernel_btf *k, const struct places *p, uint32_t at,
					 uint32_t kind)
{
	for (uint32_t h = place_hash(at); p->table[h].at; h = (h + 1) % HASH_SIZE) {
		const char *name = k->names[p->table[h].name].name;

		if (p->table[h].at != at)
			continue;
		for (uint32_t i = p->table[h].name; i < k->n; i++)
			if (k->names[i].kind == kind && !strcmp(k->names[i].name, name))
				return &k->names[i];
	}
	return NULL;
}

static void copy_add(struct copy *c, uint32_t id)
{
	if (!id || c->to[id] || c->n > MAX_COPIED)
		return;
	/* There is a place for each type that there is. More than can be copied is an error later.
	 */
	c->from[c->n++] = id;
	c->to[id] = (uint16_t)c->n;
}

static void look_at(struct kernel_btf *k, const struct places *p, const struct btf_type *t,
		    uint32_t id, struct copy *c)
{
	struct kernel_btf_name *n = find_name(k, p, t->name_off, BTF_INFO_KIND(t->info));

	if (!n)
		return;
	if (!n->id)
		n->id = id;
	/* Several of one name: CO-RE decides. */
	if (n->whole)
		copy_add(c, id);
}

static int walk_all(struct kernel_btf *k, struct walk *w, struct copy *c)
{
	struct places p;
	uint32_t at = 0;

	find_places(k, w, &p);
	for (uint32_t i = 0; i < k->n; i++)
		k->names[i].id = 0;
	w->marks[0] = 0;
	for (w->n = 1; at < w->types_size; w->n++) {
		const struct btf_type *t = (const struct btf_type *)(w->types + at);
		long tail = w->types_size - at < MIN_TYPE ? -1 : tail_size(t);

		if (tail < 0 || (size_t)tail > w->types_size - at - MIN_TYPE)
			return -EINVAL;
		if (w->n % MARK_EVERY == 0)
			w->marks[w->n / MARK_EVERY] = at;
		look_at(k, &p, t, w->n, c);
		at += MIN_TYPE + (uint32_t)tail;
	}
	return 0;
}

/* ---- copying ------------------------------------------------------------------------------- */

/* Types that lie in this one, or that it is another name of. False: numbers out of range. */
static bool copy_parts(struct copy *c, const struct walk *w, const struct btf_type *t)
{
	const struct btf_member *m = (const struct btf_member *)(t + 1);
	const struct btf_array *a = (const struct btf_array *)(t + 1);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		if (t->type >= w->n)
			return false;
		copy_add(c, t->type);
		return true;
	case BTF_KIND_ARRAY:
		if (a->type >= w->n || a->index_type >= w->n)
			return false;
		copy_add(c, a->type);
		copy_add(c, a->index_type);
		return true;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		for (uint32_t i = 0; i < BTF_INFO_VLEN(t->info); i++) {
			if (m[i].type >= w->n)
				return false;
			copy_add(c, m[i].type);
		}
		return true;
	default:
		return true;
	}
}

/* Room for `more` bytes at the end of a part that grows. */
static char *grow(char **part, size_t *size, size_t *room, size_t more)
{
	char *bigger;

	if (*size + more > *room) {
		size_t want = 2 * (*size + more) + 4096;

		bigger = realloc(*part, want);
		if (!bigger)
			return NULL;
		*part = bigger;
		*room = want;
	}
	*size += more;
	return *part + *size - more;
}

static bool copy_string(struct copy *c, const struct walk *w, uint32_t *at)
{
	const char *s = walk_string(w, *at);
	size_t n = strlen(s) + 1;
	char *to;

	if (n == 1) {
		*at = 0;
		return true;
	}
	to = grow(&c->strings, &c->strings_size, &c->strings_room, n);
	if (!to)
		return false;
	memcpy(to, s, n);
	*at = (uint32_t)(to - c->strings);
	return true;
}

/* Numbers of types and strings in the copy of one become those of the copy. */
static bool copy_renumber(struct copy *c, const struct walk *w, struct btf_type *t)
{
	struct btf_member *m = (struct btf_member *)(t + 1);
	struct btf_array *a = (struct btf_array *)(t + 1);
	uint32_t kind = BTF_INFO_KIND(t->info), n = BTF_INFO_VLEN(t->info);
	size_t step = kind == BTF_KIND_ENUM ? sizeof(struct btf_enum) : sizeof(struct btf_enum64);
	bool ok = copy_string(c, w, &t->name_off);

	switch (kind) {
	case BTF_KIND_PTR:
		t->type = 0;
		break;
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		t->type = c->to[t->type];
		break;
	case BTF_KIND_ARRAY:
		a->type = c->to[a->type];
		a->index_type = c->to[a->index_type];
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		for (uint32_t i = 0; ok && i < n; i++) {
			m[i].type = c->to[m[i].type];
			ok = copy_string(c, w, &m[i].name_off);
		}
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		/* Both begin with the name. */
		for (uint32_t i = 0; ok && i < n; i++)
			ok = copy_string(c, w, (uint32_t *)((char *)(t + 1) + i * step));
		break;
	default:
		break;
	}
	return ok;
}

static int copy_types(struct copy *c, const struct walk *w)
{
	if (!grow(&c->strings, &c->strings_size, &c->strings_room, 1))
		return -ENOMEM;
	c->strings[0] = '\0';
	/* The list grows as it is gone through. */
	for (uint32_t i = 0; i < c->n; i++) {
		const struct btf_type *t = walk_type(w, c->from[i]);
		uint32_t kind = BTF_INFO_KIND(t->info);
		size_t size = MIN_TYPE + (size_t)tail_size(t);
		char *to;

		/* Nothing of these lies in a struct. */
		if (kind == BTF_KIND_FUNC_PROTO || kind == BTF_KIND_FUNC || kind == BTF_KIND_VAR ||
		    kind == BTF_KIND_DATASEC || kind == BTF_KIND_DECL_TAG || c->n > MAX_COPIED ||
		    !copy_parts(c, w, t))
			return -EINVAL;
		to = grow(&c->out, &c->size, &c->room, size);
		if (!to)
			return -ENOMEM;
		memcpy(to, t, size);
		if (!copy_renumber(c, w, (struct btf_type *)to))
			return -ENOMEM;
	}
	return 0;
}

static int copy_join(struct kernel_btf *k, const struct copy *c)
{
	struct btf_header h = {.magic = BTF_MAGIC,
			       .version = BTF_VERSION,
			       .hdr_len = sizeof(h),
			       .type_len = (uint32_t)c->size,
			       .str_off = (uint32_t)c->size,
			       .str_len = (uint32_t)c->strings_size};
	char *all = malloc(sizeof(h) + c->size + c->strings_size);

	if (!all)
		return -ENOMEM;
	memcpy(all, &h, sizeof(h));
	if (c->size)
		memcpy(all + sizeof(h), c->out, c->size);
	memcpy(all + sizeof(h) + c->size, c->strings, c->strings_size);
	kernel_btf_fini(k);
	k->types = all;
	k->size = sizeof(h) + c->size + c->strings_size;
	return 0;
}

int kernel_btf_search(struct kernel_btf *k, const void *btf, size_t size)
{
	struct walk w = {0};
	struct copy c = {0};
	size_t most;
	int err = walk_open(&w, btf, size);

	if (err)
		return err;
	/* Large, but only what is used of it gets memory. */
	most = w.types_size / MIN_TYPE + 2;
	w.marks = malloc((most / MARK_EVERY + 1) * sizeof(*w.marks));
	c.from = malloc(most * sizeof(*c.from));
	c.to = calloc(most, sizeof(*c.to));
	err = w.marks && c.from && c.to ? walk_all(k, &w, &c) : -ENOMEM;
	if (!err)
		err = copy_types(&c, &w);
	if (!err)
		err = copy_join(k, &c);
	free(w.marks);
	free(c.from);
	free(c.to);
	free(c.out);
	free(c.strings);
	return err;
}

void kernel_btf_fini(struct kernel_btf *k)
{
	free(k->types);
	k->types = NULL;
	k->size = 0;
}

/* ---- the running kernel ---------------------------------------------------------------------- */

static int read_all(int fd, char *to, size_t size)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = read(fd, to + have, size - have);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		have += (size_t)n;
	}
	return 0;
}

int kernel_btf_search_running(struct kernel_btf *k)
{
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC), err = 0;
	struct stat st;
	size_t size;
	void *at;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_size <= 0) {
		close(fd);
		return -ENODATA;
	}
	size = (size_t)st.st_size;
	/* Linux 6.16 and later; a read gives a page at a time. */
	at = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED) {
		at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		err = at == MAP_FAILED ? -ENOMEM : read_all(fd, at, size);
	}
	close(fd);
	if (!err)
		err = kernel_btf_search(k, at, size);
	if (at != MAP_FAILED)
		munmap(at, size);
	return err;
}
