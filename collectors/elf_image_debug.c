/* SPDX-License-Identifier: Apache-2.0 */
/* elf_image_debug.c: symbols kept outside a stripped file: debug files and .gnu_debugdata. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/elf_image_priv.h"

#define DEBUG_ROOT "/usr/lib/debug"

enum { BUILD_ID_MAX = ELF_BUILD_ID_MAX };

size_t elf_image_build_id(struct elf_image *e, uint8_t id[BUILD_ID_MAX])
{
	for (uint32_t i = 0; i < e->nsections; i++) {
		const Elf64_Shdr *sh = &e->sections[i];
		Elf64_Nhdr h;
		char owner[4];

		if (sh->sh_type != SHT_NOTE || elf_image_pread(e, sh->sh_offset, &h, sizeof(h)) ||
		    h.n_type != NT_GNU_BUILD_ID || h.n_namesz != 4 || h.n_descsz < 2 ||
		    h.n_descsz > BUILD_ID_MAX ||
		    elf_image_pread(e, sh->sh_offset + sizeof(h), owner, 4) ||
		    memcmp(owner, "GNU", 4) != 0 ||
		    elf_image_pread(e, sh->sh_offset + sizeof(h) + 4, id, h.n_descsz))
			continue;
		return h.n_descsz;
	}
	return 0;
}

static struct elf_image *open_debug_path(const char *path)
{
	int err;
	struct elf_image *d = elf_image_open(path, &err);

	if (d)
		d->is_debug_file = true;
	return d;
}

static struct elf_image *open_by_build_id(const uint8_t *id, size_t n)
{
	char path[sizeof(DEBUG_ROOT) + 32 + 2 * BUILD_ID_MAX];
	int at = snprintf(path, sizeof(path), DEBUG_ROOT "/.build-id/%02x/", id[0]);

	for (size_t i = 1; i < n; i++)
		at += snprintf(path + at, sizeof(path) - (size_t)at, "%02x", id[i]);
	snprintf(path + at, sizeof(path) - (size_t)at, ".debug");
	return open_debug_path(path);
}

/* A debug file found by name is believed only when its build-id is the same. */
static struct elf_image *open_checked(const char *path, const uint8_t *id, size_t n)
{
	struct elf_image *d = open_debug_path(path);
	uint8_t other[BUILD_ID_MAX];

	if (d && (elf_image_build_id(d, other) != n || memcmp(id, other, n) != 0)) {
		elf_image_free(d);
		return NULL;
	}
	return d;
}

static struct elf_image *open_by_link(struct elf_image *e, const uint8_t *id, size_t n)
{
	const Elf64_Shdr *sh = elf_image_section(e, ".gnu_debuglink");
	const char *slash = strrchr(e->label, '/');
	int dir = slash ? (int)(slash - e->label) : 0;
	char path[2 * ELF_MAX_NAME], name[256];
	struct elf_image *d = NULL;

	/* The label is a path in the target's file system; only one of ours is worth a try. */
	if (!sh || !n || e->label[0] != '/' || dir >= ELF_MAX_NAME ||
	    elf_image_pread_string(e, sh->sh_offset, sh->sh_offset + sh->sh_size, name,
				   sizeof(name)) ||
	    strchr(name, '/') || !name[0])
		return NULL;
	for (int i = 0; i < 3 && !d; i++) {
		switch (i) {
		case 0:
			snprintf(path, sizeof(path), "%.*s/%s", dir, e->label, name);
			break;
		case 1:
			snprintf(path, sizeof(path), "%.*s/.debug/%s", dir, e->label, name);
			break;
		default:
			snprintf(path, sizeof(path), DEBUG_ROOT "%.*s/%s", dir, e->label, name);
		}
		d = open_checked(path, id, n);
	}
	return d;
}

struct elf_image *elf_image_open_debug_file(struct elf_image *e)
{
	uint8_t id[BUILD_ID_MAX];
	size_t n = elf_image_build_id(e, id);
	struct elf_image *d = n ? open_by_build_id(id, n) : NULL;

	return d ? d : open_by_link(e, id, n);
}

/*
 * .gnu_debugdata is an ELF file of local symbols under xz. libdw brings liblzma into the process
 * where it was built with it, so ask the loader instead of adding a dependency.
 */
typedef int lzma_decode_fn(uint64_t *memlimit, uint32_t flags, const void *allocator,
			   const uint8_t *in, size_t *in_pos, size_t in_size, uint8_t *out,
			   size_t *out_pos, size_t out_size);

enum { LZMA_OK = 0, LZMA_BUF_ERROR = 10 };

struct elf_image *elf_image_open_debugdata(struct elf_image *e)
{
	const Elf64_Shdr *sh = elf_image_section(e, ".gnu_debugdata");
	struct elf_image *d = NULL;
	lzma_decode_fn *decode;
	uint8_t *in = NULL, *out = NULL;
	int err, result = LZMA_BUF_ERROR;

	decode = (lzma_decode_fn *)dlsym(RTLD_DEFAULT, "lzma_stream_buffer_decode");
	if (!sh || !decode)
		return NULL;
	in = elf_image_load(e, sh->sh_offset, sh->sh_size, 16u << 20);
	for (size_t cap = 1u << 20; in && result == LZMA_BUF_ERROR && cap <= 16u << 20; cap *= 4) {
		uint64_t memlimit = 64u << 20;
		size_t in_pos = 0, out_pos = 0;

		free(out);
		out = malloc(cap);
		if (!out)
			break;
		result = decode(&memlimit, 0, NULL, in, &in_pos, sh->sh_size, out, &out_pos, cap);
		if (result == LZMA_OK)
			d = elf_image_open_memory(out, out_pos, ".gnu_debugdata", &err);
	}
	if (d)
		d->is_debug_file = true;
	free(in);
	free(out);
	return d;
}
