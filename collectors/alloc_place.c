/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_place.c: copies a module's variables out of a process, and finds strings in its file. */
#include "collectors/alloc_place.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/alloc_memory.h"

enum {
	PAGE = 4096,
	DATA_BYTES = 64 << 20, /* of one segment, most of it never touched */
	TOUCHED_PAGES = 8192,  /* copied at most */
	TEXT_BYTES = 64 << 10,
	TEXT_MAX = 64,
	FILE_BYTES = 64 << 20, /* of one section, looked through for strings */
};

/* Bits 62 and 63 of a word in pagemap: swapped, present. Others are zero, and stay unmapped. */
static bool is_touched(int pagemap, uint64_t addr, uint64_t *words, uint64_t *from)
{
	enum { BATCH = 512 };
	uint64_t page = addr / PAGE;

	if (pagemap < 0)
		return true;
	if (page < *from || page >= *from + BATCH) {
		*from = page;
		memset(words, 0, BATCH * 8);
		if (pread(pagemap, words, BATCH * 8, (off_t)(page * 8)) < 8)
			return true;
	}
	return words[page - *from] >> 62;
}

static int copy(const struct alloc_place *p, struct alloc_data *d)
{
	uint64_t words[512], from = UINT64_MAX - 512, end = d->start + d->n * 8;
	uint32_t left = TOUCHED_PAGES;
	char name[32];
	int pagemap, err = 0;

	snprintf(name, sizeof(name), "/proc/%d/pagemap", p->pid);
	pagemap = open(name, O_RDONLY | O_CLOEXEC);
	for (uint64_t at = d->start; at < end && left && err != -EPERM && err != -ESRCH;) {
		uint64_t next = (at | (PAGE - 1)) + 1;

		next = next < end ? next : end;
		if (is_touched(pagemap, at, words, &from)) {
			left--;
			err = alloc_memory_read(p->pid, at, d->words + (at - d->start) / 8,
						next - at);
		}
		at = next;
	}
	if (pagemap >= 0)
		close(pagemap);
	return err == -EPERM || err == -ESRCH ? err : 0;
}

int alloc_place_data(const struct alloc_place *p, struct alloc_data *out)
{
	size_t headers = 0;
	GElf_Phdr h;
	int n = 0, err = 0;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(p->fd, ELF_C_READ, NULL);
	if (!elf || elf_getphdrnum(elf, &headers)) {
		elf_end(elf);
		return -ENOEXEC;
	}
	for (size_t i = 0; !err && i < headers && n < ALLOC_DATA_MAX; i++) {
		if (!gelf_getphdr(elf, (int)i, &h) || h.p_type != PT_LOAD || !(h.p_flags & PF_W))
			continue;
		out[n].start = (p->bias + h.p_vaddr + 7) & ~7ull;
		out[n].n = (h.p_memsz < DATA_BYTES ? h.p_memsz : DATA_BYTES) / 8;
		out[n].n -= out[n].n != 0; /* what aligning left out */
		out[n].words = calloc(out[n].n + 1, 8);
		if (!out[n].words)
			break;
		err = copy(p, &out[n++]);
	}
	elf_end(elf);
	if (err)
		alloc_data_free(out, n);
	return err ? err : n;
}

void alloc_data_free(struct alloc_data *data, int n)
{
	for (int i = 0; i < n; i++)
		free(data[i].words);
}

/* ---- strings --------------------------------------------------------------------------------- */

struct search {
	const char *needle;
	alloc_string_fn *fn;
	void *ctx;
};

/* Whole strings in text[0..n) that have the needle, unless they are long. */
static bool search_text(const struct search *f, char *text, size_t n)
{
	size_t len = strlen(f->needle);
	char *at = text, *end = text + n;

	while (at < end && (at = memmem(at, (size_t)(end - at), f->needle, len))) {
		char *start = at, *stop = memchr(at, '\0', (size_t)(end - at));

		while (start > text && start[-1] && at - start < TEXT_MAX)
			start--;
		at += len;
		if (stop && stop - start < TEXT_MAX && (start == text || !start[-1]) &&
		    f->fn(f->ctx, start))
			return true;
	}
	return false;
}

/* Pieces overlap by a string's length. */
static bool search_section(const struct search *f, int fd, const GElf_Shdr *h, char *text)
{
	uint64_t size = h->sh_size < FILE_BYTES ? h->sh_size : FILE_BYTES, at = 0;

	while (at < size) {
		size_t want = size - at < TEXT_BYTES ? (size_t)(size - at) : TEXT_BYTES;
		ssize_t got = pread(fd, text, want, (off_t)(h->sh_offset + at));

		if (got <= 0)
			break;
		if (search_text(f, text, (size_t)got))
			return true;
		at += (size_t)got > 2 * TEXT_MAX && at + (uint64_t)got < size
			      ? (uint64_t)got - TEXT_MAX
			      : (uint64_t)got;
	}
	return false;
}

bool alloc_file_strings(int fd, const char *needle, alloc_string_fn *fn, void *ctx)
{
	struct search f = {needle, fn, ctx};
	char *text = malloc(TEXT_BYTES);
	bool stop = false;
	Elf_Scn *scn = NULL;
	GElf_Shdr h;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	while (text && elf && !stop && (scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &h) && h.sh_type == SHT_PROGBITS &&
		    (h.sh_flags & (SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR)) == SHF_ALLOC)
			stop = search_section(&f, fd, &h, text);
	elf_end(elf);
	free(text);
	return stop;
}

bool alloc_file_stripped(int fd)
{
	bool has = false;
	Elf_Scn *scn = NULL;
	GElf_Shdr h;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	while (elf && !has && (scn = elf_nextscn(elf, scn)))
		has = gelf_getshdr(scn, &h) && h.sh_type == SHT_SYMTAB;
	elf_end(elf);
	return !has;
}
