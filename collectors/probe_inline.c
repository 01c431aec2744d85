/* SPDX-License-Identifier: Apache-2.0 */
/* probe_inline.c: functions that exist only inside of others, as their debug information says. */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/demangle.h"
#include "collectors/elf_image_priv.h"
#include "collectors/probe_plan_priv.h"

/* Debug information can be gigabytes, and somebody waits for the answer. */
#define INLINE_PATIENCE_NS 2000000000ull
enum { INLINE_DEPTH = 128, INLINE_CLOCK_EVERY = 4096 };

struct inline_search {
	const struct name_pattern *pattern;
	uint64_t places, dies, until_ns;
	char within[128]; /* a function that holds the first place */
	bool late;
};

/* Its own name, or that with the names of what it belongs to, by its linkage name. */
static bool is_named(struct inline_search *s, Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *name = dwarf_diename(die), *linkage = NULL;
	char plain[512];

	if (name && name_pattern_match(s->pattern, name))
		return true;
	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr))
		linkage = dwarf_formstring(&attr);
	if (!linkage)
		return false;
	demangle_name(linkage, plain, sizeof(plain));
	if (name_pattern_match(s->pattern, plain))
		return true;
	plain[strcspn(plain, "(")] = '\0';
	return name_pattern_match(s->pattern, plain);
}

/* Siblings one after the other, children below: deep nesting is cut off, not followed. */
static void walk(struct inline_search *s, Dwarf_Die *first, const char *function, int depth)
{
	Dwarf_Die die = *first, child;

	do {
		int tag = dwarf_tag(&die);
		const char *in = function;

		if (!(++s->dies % INLINE_CLOCK_EVERY) && clock_mono_ns() > s->until_ns)
			s->late = true;
		if (s->late)
			return;
		if (tag == DW_TAG_subprogram && dwarf_diename(&die))
			in = dwarf_diename(&die);
		if (tag == DW_TAG_inlined_subroutine && is_named(s, &die)) {
			if (!s->places++)
				snprintf(s->within, sizeof(s->within), "%s", in ? in : "?");
		}
		if (depth < INLINE_DEPTH && !dwarf_child(&die, &child))
			walk(s, &child, in, depth + 1);
	} while (!dwarf_siblingof(&die, &die));
}

static void search_fd(struct inline_search *s, int fd)
{
	/* Not mapped into memory: the file may shrink meanwhile. */
	Elf *elf = elf_version(EV_CURRENT) ? elf_begin(fd, ELF_C_READ, NULL) : NULL;
	Dwarf *dw = elf ? dwarf_begin_elf(elf, DWARF_C_READ, NULL) : NULL;
	Dwarf_CU *cu = NULL;
	Dwarf_Die unit, child;

	while (dw && !s->late && !dwarf_get_units(dw, cu, &cu, NULL, NULL, &unit, NULL))
		if (!dwarf_child(&unit, &child))
			walk(s, &child, NULL, 0);
	if (dw)
		dwarf_end(dw);
	elf_end(elf);
}

static void search_module(struct inline_search *s, const struct symbols_module *m)
{
	const struct elf_image *e = m->image;

	if (e->fd >= 0)
		search_fd(s, e->fd);
	if (!s->places && e->other && e->other->fd >= 0)
		search_fd(s, e->other->fd);
}

bool plan_find_inlined(struct plan_work *w, const struct symbols_module *const *mods, uint32_t n,
		       char *buf, size_t size)
{
	struct inline_search s = {.pattern = &w->spec->name,
				  .until_ns = clock_mono_ns() + INLINE_PATIENCE_NS};

	if (w->spec->kind != SPEC_FUNCTION)
		return false;
	for (uint32_t i = 0; i < n && !s.late; i++)
		search_module(&s, mods[i]);
	if (!s.places)
		return false;
	snprintf(buf, size,
		 "'%.60s' is inlined at %s%llu place%s (first in %.60s); it has no entry to probe",
		 w->spec->name.text, s.late ? "more than " : "", (unsigned long long)s.places,
		 s.places == 1 ? "" : "s", s.within);
	return true;
}
