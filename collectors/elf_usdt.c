/* SPDX-License-Identifier: Apache-2.0 */
/* elf_usdt.c: USDT markers from the notes that sys/sdt.h leaves in a file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/elf_image_priv.h"

/*
 * The note, as systemtap's sys/sdt.h writes it: owner "stapsdt", type 3, three addresses, then
 * provider, name and argument format as strings.
 * https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation
 */
enum { STAPSDT_TYPE = 3, STAPSDT_ADDRS = 3 * sizeof(uint64_t) };

static int usdt_append(struct elf_image *e, uint32_t *cap, const struct elf_usdt *u)
{
	if (e->nusdts == *cap) {
		uint32_t want = *cap ? *cap * 2 : 64;
		struct elf_usdt *v = realloc(e->usdts, want * sizeof(*v));

		if (!v)
			return -ENOMEM;
		e->usdts = v;
		*cap = want;
	}
	e->usdts[e->nusdts++] = *u;
	return 0;
}

/* The string at *p; moves *p behind it. NULL when it does not end before `end`. */
static const char *usdt_string(const char **p, const char *end)
{
	const char *s = *p, *nul = memchr(s, '\0', (size_t)(end - s));

	if (!nul)
		return NULL;
	*p = nul + 1;
	return s;
}

/* Fill u from one note's payload; false when it is not sound. */
static bool usdt_parse(struct elf_image *e, const char *desc, size_t n, struct elf_usdt *u)
{
	const Elf64_Shdr *base = elf_image_section(e, ".stapsdt.base");
	const char *p = desc + STAPSDT_ADDRS, *end = desc + n;
	uint64_t addrs[3], slide = 0; /* the nop, the base section as linked, the semaphore */

	if (n <= STAPSDT_ADDRS)
		return false;
	memcpy(addrs, desc, sizeof(addrs));
	/* Prelink moves sections but does not rewrite notes. */
	if (base && addrs[1])
		slide = base->sh_addr - addrs[1];
	memset(u, 0, sizeof(*u));
	if (elf_image_offset_of(e, addrs[0] + slide, &u->offset))
		return false;
	if (addrs[2] && elf_image_offset_of(e, addrs[2] + slide, &u->semaphore_offset))
		return false;
	u->provider = usdt_string(&p, end);
	u->name = u->provider && p < end ? usdt_string(&p, end) : NULL;
	u->args = u->name && p < end ? usdt_string(&p, end) : NULL;
	if (u->name && !u->args)
		u->args = "";
	return u->name != NULL;
}

static int usdt_parse_notes(struct elf_image *e, const char *p, size_t n)
{
	struct elf_usdt u;
	uint32_t cap = 0;

	while (n >= sizeof(Elf64_Nhdr) && e->nusdts < ELF_MAX_USDTS) {
		Elf64_Nhdr h;
		uint64_t name, desc, total;

		memcpy(&h, p, sizeof(h));
		name = ((uint64_t)h.n_namesz + 3) & ~3ull;
		desc = ((uint64_t)h.n_descsz + 3) & ~3ull;
		total = sizeof(h) + name + desc;
		/* The last note need not be padded. */
		if (sizeof(h) + name + h.n_descsz > n)
			break;
		if (h.n_type == STAPSDT_TYPE && h.n_namesz == sizeof("stapsdt") &&
		    !memcmp(p + sizeof(h), "stapsdt", sizeof("stapsdt")) &&
		    usdt_parse(e, p + sizeof(h) + name, h.n_descsz, &u) && usdt_append(e, &cap, &u))
			return -ENOMEM;
		if (total >= n)
			break;
		p += total;
		n -= (size_t)total;
	}
	return 0;
}

int elf_image_usdts(struct elf_image *e, const struct elf_usdt **out, uint32_t *n)
{
	const Elf64_Shdr *sh = elf_image_section(e, ".note.stapsdt");
	int err = 0;

	if (!e->usdts_loaded && sh && sh->sh_type == SHT_NOTE) {
		e->usdt_bytes = elf_image_load(e, sh->sh_offset, sh->sh_size, ELF_MAX_NOTES_BYTES);
		if (e->usdt_bytes)
			err = usdt_parse_notes(e, e->usdt_bytes, sh->sh_size);
	}
	e->usdts_loaded = true;
	*out = e->usdts;
	*n = e->nusdts;
	return err;
}
