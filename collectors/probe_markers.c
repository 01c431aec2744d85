/* SPDX-License-Identifier: Apache-2.0 */
/* probe_markers.c: USDT markers of one file that a probe names, alone or in pairs. */
#include <stdlib.h>
#include <string.h>

#include "collectors/probe_plan_priv.h"

static const char *const pairs[][2] = {
	{"__begin", "__end"},
	{"__start", "__done"},
	{"__start", "__end"},
	{"__entry", "__return"},
};
enum { NPAIRS = sizeof(pairs) / sizeof(pairs[0]) };

struct notes {
	const struct elf_usdt *v;
	uint32_t n;
};

static bool has_marker(const struct notes *notes, const char *provider, const char *base,
		       size_t base_n, const char *suffix)
{
	for (uint32_t i = 0; i < notes->n; i++)
		if (!strcmp(notes->v[i].provider, provider) &&
		    !strncmp(notes->v[i].name, base, base_n) &&
		    !strcmp(notes->v[i].name + base_n, suffix))
			return true;
	return false;
}

/* Is u half of a pair? Sets the length of the common name, and which half. */
static bool find_pair(const struct notes *notes, const struct elf_usdt *u, size_t *base_n,
		      bool *end)
{
	size_t n = strlen(u->name);

	for (int p = 0; p < NPAIRS; p++) {
		for (int half = 0; half < 2; half++) {
			size_t suffix = strlen(pairs[p][half]);

			if (n <= suffix || strcmp(u->name + n - suffix, pairs[p][half]) != 0)
				continue;
			if (!has_marker(notes, u->provider, u->name, n - suffix, pairs[p][!half]))
				continue;
			*base_n = n - suffix;
			*end = half == 1;
			return true;
		}
	}
	return false;
}

/* Does the user's pattern name this pair: by its common name or by either half? */
static bool pair_matches(const struct notes *notes, const struct name_pattern *pattern,
			 const struct elf_usdt *u, size_t base_n)
{
	char name[256];

	if (base_n >= sizeof(name))
		return false;
	memcpy(name, u->name, base_n);
	name[base_n] = '\0';
	if (name_pattern_match(pattern, name))
		return true;
	for (uint32_t i = 0; i < notes->n; i++) {
		size_t n;
		bool end;

		if (!strcmp(notes->v[i].provider, u->provider) &&
		    !strncmp(notes->v[i].name, name, base_n) &&
		    find_pair(notes, &notes->v[i], &n, &end) && n == base_n &&
		    name_pattern_match(pattern, notes->v[i].name))
			return true;
	}
	return false;
}

static enum insn_kind marker_insn(const struct symbols_module *m, uint64_t offset)
{
	uint8_t code[16];
	struct insn insn;
	uint64_t vaddr;
	size_t n;

	if (elf_image_vaddr_of(m->image, offset, &vaddr))
		return INSN_OTHER;
	n = elf_image_read(m->image, vaddr, code, sizeof(code));
	return insn_x86_decode(code, n, &insn) > 0 ? insn.kind : INSN_OTHER;
}

static int take_marker(struct plan_work *w, const struct symbols_module *m, int file,
		       const struct elf_usdt *u, size_t base_n, bool pair, bool end)
{
	struct probe_site site = {.file = (uint32_t)file,
				  .offset = u->offset,
				  .ref_ctr_offset = u->semaphore_offset,
				  .end = end};
	struct probe_row *row;
	char name[512];

	if (plan_has_site(w->plan, site.file, site.offset))
		return 0;
	snprintf(name, sizeof(name), "%s:%.*s", u->provider, (int)base_n, u->name);
	row = plan_add_row(w, name, m, LATENCY_USDT);
	if (!row)
		return 0;
	row->how = pair ? PROBE_PAIR : PROBE_COUNT;
	row->place.how = PLACE_ENTRY;
	row->place.reason = "";
	row->place.insn = marker_insn(m, u->offset);
	row->cost_ns = calibrate_cost_ns(&w->plan->costs, row->place.insn, false) * (pair ? 2 : 1);
	snprintf(row->note, sizeof(row->note), "%s",
		 pair ? "pair of markers, per thread" : "marker: count only");
	site.row = (uint32_t)(row - w->plan->rows);
	return plan_add_site(w->plan, &site);
}

int plan_match_markers(struct plan_work *w, const struct symbols_module *m)
{
	struct notes notes = {0};
	int file, err = 0;

	if (elf_image_usdts(m->image, &notes.v, &notes.n) || !notes.n)
		return 0;
	file = plan_add_file(w, m);
	if (file < 0) {
		snprintf(w->why, w->why_size, "markers in more than %d files", PLAN_MAX_FILES);
		return file;
	}
	for (uint32_t i = 0; i < notes.n && !err; i++) {
		const struct elf_usdt *u = &notes.v[i];
		size_t base_n = strlen(u->name);
		bool end = false, pair;

		if (!name_pattern_match(&w->spec->provider, u->provider))
			continue;
		pair = find_pair(&notes, u, &base_n, &end);
		if (pair ? !pair_matches(&notes, &w->spec->name, u, base_n)
			 : !name_pattern_match(&w->spec->name, u->name))
			continue;
		w->matched++;
		err = take_marker(w, m, file, u, base_n, pair, end);
	}
	if (err)
		snprintf(w->why, w->why_size, "'%.100s' is too wide: more than %d places",
			 w->spec->text, PROBE_PLAN_SITES);
	return err;
}
