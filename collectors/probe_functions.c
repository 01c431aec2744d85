/* SPDX-License-Identifier: Apache-2.0 */
/* probe_functions.c: functions of one file that a probe names, placed and priced. */
#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <libiberty/demangle.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/elf_image_ifunc.h"
#include "collectors/probe_plan_priv.h"

enum {
	FUNCTIONS_MAX_NAME = 1024,
	FUNCTIONS_MAX_IFUNCS = 2048,
	FUNCTIONS_MAX_BODY = 1 << 20,	 /* larger ones are decoded up to here */
	FUNCTIONS_MAX_UNSIZED = 1 << 16, /* when the table gives no size */
	FUNCTIONS_MAX_PARTS = 4,
};

/* A module while its functions are gone through. */
struct view {
	const struct symbols_module *m;
	const struct elf_function *fns;
	uint32_t n;
	int file;
	uint64_t *ifuncs;
	uint32_t nifuncs;
	const struct name_pattern *pattern;
	char literal[64]; /* must occur in a mangled name for it to match; "" = no such help */
	uint8_t *code;
};

/* Symbol versions and what the compiler appends to clones are not part of the name asked for. */
static size_t base_length(const char *name)
{
	static const char *const suffixes[] = {".isra.", ".constprop.", ".lto_priv.", ".llvm."};
	size_t n = strcspn(name, "@");

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		const char *at = strstr(name, suffixes[i]);

		if (at && (size_t)(at - name) < n)
			n = (size_t)(at - name);
	}
	return n;
}

/* Identifiers stand in mangled names as they are, so most need no demangling. */
static void find_literal(struct view *v)
{
	const char *s = v->pattern->text, *best = NULL;
	size_t best_n = 0;

	v->literal[0] = '\0';
	if (v->pattern->kind == PATTERN_REGEX || strstr(s, "operator") || strchr(s, '['))
		return;
	for (size_t i = 0, n; s[i] && s[i] != '(' && s[i] != '<'; i += n ? n : 1) {
		for (n = 0; isalnum((unsigned char)s[i + n]) || s[i + n] == '_';)
			n++;
		/* std and its kin are abbreviated: St, Ss, Sa. The last part never is. */
		if (n >= 3 && strncmp(s + i, "std", 3) != 0 && (n >= best_n || s[i + n] == '\0')) {
			best = s + i;
			best_n = n;
		}
	}
	if (best && best_n < sizeof(v->literal)) {
		memcpy(v->literal, best, best_n);
		v->literal[best_n] = '\0';
	}
	/* The abbreviated classes: basic_string, allocator, iostream's. */
	if (!strncmp(s, "std::", 5))
		v->literal[0] = '\0';
}

static bool match_demangled(struct view *v, const char *raw, char *name, size_t size)
{
	static const int styles[] = {DMGL_ANSI, DMGL_ANSI | DMGL_PARAMS};
	bool hit = false;

	if (v->literal[0] && !strstr(raw, v->literal))
		return false;
	for (int i = 0; i < 2 && !hit; i++) {
		char *d = cplus_demangle(raw, styles[i] | DMGL_AUTO);

		if (!d)
			return false;
		hit = name_pattern_match(v->pattern, d);
		if (hit)
			snprintf(name, size, "%s", d);
		free(d);
	}
	return hit;
}

/* Name under which the function answers to the pattern, or false. */
static bool match(struct view *v, const char *raw, char *name, size_t size)
{
	size_t n = base_length(raw);

	if (n >= size || strstr(raw, ".cold"))
		return false;
	/* Functions without a name of their own only when asked for as such. */
	if (!strncmp(raw, "fn@", 3)) {
		snprintf(name, size, "%s", raw);
		return !strncmp(v->pattern->text, "fn@", 3) && name_pattern_match(v->pattern, raw);
	}
	memcpy(name, raw, n);
	name[n] = '\0';
	if (name_pattern_match(v->pattern, name))
		return true;
	if (raw[n] == '.' && name_pattern_match(v->pattern, raw)) {
		snprintf(name, size, "%s", raw);
		return true;
	}
	return raw[0] == '_' && (raw[1] == 'Z' || raw[1] == 'R') &&
	       match_demangled(v, name, name, size);
}

static bool is_ifunc(const struct view *v, uint64_t vaddr)
{
	for (uint32_t i = 0; i < v->nifuncs; i++)
		if (v->ifuncs[i] == vaddr)
			return true;
	return false;
}

static uint64_t size_of(const struct view *v, uint32_t i)
{
	uint64_t size = v->fns[i].size;

	if (size)
		return size < FUNCTIONS_MAX_BODY ? size : FUNCTIONS_MAX_BODY;
	for (uint32_t k = i + 1; k < v->n; k++) {
		size = v->fns[k].vaddr - v->fns[i].vaddr;
		if (size)
			return size < FUNCTIONS_MAX_UNSIZED ? size : FUNCTIONS_MAX_UNSIZED;
	}
	return 256;
}

/* Read the body and its out-of-line parts into v->code. */
static uint32_t read_parts(struct view *v, uint32_t i, struct place_code *parts)
{
	const char *name = v->fns[i].name;
	size_t n = strlen(name), used = 0;
	uint32_t nparts = 0;

	for (uint32_t k = i; nparts < FUNCTIONS_MAX_PARTS;) {
		size_t size = size_of(v, k), room = FUNCTIONS_MAX_BODY - used;

		parts[nparts].vaddr = v->fns[k].vaddr;
		parts[nparts].bytes = v->code + used;
		parts[nparts].size = elf_image_read(v->m->image, v->fns[k].vaddr, v->code + used,
						    size < room ? size : room);
		used += parts[nparts++].size;
		for (k = k == i ? 0 : k + 1; k < v->n; k++)
			if (!strncmp(v->fns[k].name, name, n) &&
			    !strncmp(v->fns[k].name + n, ".cold", 5))
				break;
		if (k == v->n)
			break;
	}
	return nparts;
}

static void write_note(struct plan_work *w, struct probe_row *row)
{
	const struct place *pl = &row->place;

	if (pl->how == PLACE_STEPPED)
		snprintf(row->note, sizeof(row->note), "single-stepped: latency includes ~%.1f us",
			 w->plan->costs.entry_ns[INSN_OTHER] / 1e3);
	else if (pl->how == PLACE_COUNTED)
		snprintf(row->note, sizeof(row->note), "entry only: no latency without --force");
	else if (pl->loops)
		snprintf(row->note, sizeof(row->note), "loops to its entry: rounds count as calls");
	else if (pl->how == PLACE_MOVED)
		snprintf(row->note, sizeof(row->note), "probe at +%u (%s)%s", pl->delta,
			 insn_kind_name(pl->insn), pl->jump_table ? ", jump table" : "");
}

/* A match is placed, priced, and becomes a site of a row, or is refused. 0 or -errno. */
static int take(struct plan_work *w, struct view *v, uint32_t i, const char *name)
{
	struct place_code parts[FUNCTIONS_MAX_PARTS];
	struct probe_plan *p = w->plan;
	struct probe_site site = {.file = (uint32_t)v->file};
	bool exact = v->pattern->kind == PATTERN_EXACT;
	struct probe_row *row;
	struct place place;
	uint64_t entry;
	double cost;

	if (elf_image_offset_of(v->m->image, v->fns[i].vaddr, &entry))
		return 0;
	place_function(elf_image_machine(v->m->image), parts, read_parts(v, i, parts),
		       p->costs.emulated, p->opt.force, &place);
	site.offset = entry + place.delta;
	if (plan_has_site(p, site.file, site.offset)) {
		w->matched++; /* an alias of what is there already */
		return 0;
	}
	cost = calibrate_cost_ns(&p->costs, place.insn, place.returns);
	w->matched++;
	if (place.how == PLACE_REFUSED || (place.how == PLACE_STEPPED && !exact && !p->opt.force)) {
		plan_add_refused(w, name, v->m, &place, cost, place.reason);
		return 0;
	}
	row = plan_add_row(w, name, v->m, LATENCY_UPROBE);
	if (!row)
		return 0;
	site.row = (uint32_t)(row - p->rows);
	if (!row->nsites || cost > row->cost_ns) {
		row->place = place;
		row->cost_ns = cost;
	}
	if (!row->nsites || !place.returns)
		row->how = place.returns ? PROBE_LATENCY : PROBE_COUNT;
	write_note(w, row);
	return plan_add_site(p, &site);
}

/* The chosen code goes by the name asked for. */
static int take_ifunc(struct plan_work *w, struct view *v, uint32_t i, const char *name)
{
	uint64_t vaddr;

	if (plan_resolve_ifunc(w, v->m, v->fns[i].vaddr, name, &vaddr))
		for (uint32_t k = 0; k < v->n; k++)
			if (v->fns[k].vaddr == vaddr)
				return take(w, v, k, name);
	w->ifuncs++;
	return 0;
}

static int open_view(struct plan_work *w, struct view *v, const struct symbols_module *m)
{
	int n;

	*v = (struct view){.m = m, .pattern = &w->spec->name};
	if (elf_image_functions(m->image, &v->fns, &v->n))
		v->n = 0;
	v->file = plan_add_file(w->plan, m);
	if (v->file < 0)
		return v->file;
	v->code = malloc(FUNCTIONS_MAX_BODY);
	v->ifuncs = malloc(FUNCTIONS_MAX_IFUNCS * sizeof(*v->ifuncs));
	if (!v->code || !v->ifuncs)
		return -ENOMEM;
	n = elf_image_ifuncs(m->image, v->ifuncs, FUNCTIONS_MAX_IFUNCS);
	v->nifuncs = n > 0 ? (uint32_t)n : 0;
	find_literal(v);
	return 0;
}

int plan_match_functions(struct plan_work *w, const struct symbols_module *m)
{
	char name[FUNCTIONS_MAX_NAME];
	struct view v;
	int err = open_view(w, &v, m);

	for (uint32_t i = 0; !err && i < v.n; i++) {
		if (!match(&v, v.fns[i].name, name, sizeof(name)))
			continue;
		if (elf_image_is_go(m->image)) {
			snprintf(w->why, w->why_size,
				 "%s is a Go program: its stacks move, and a return probe would "
				 "crash it; use -e usdt: or CPU samples",
				 strrchr(m->path, '/') + 1);
			err = -ENOTSUP;
		} else if (is_ifunc(&v, v.fns[i].vaddr)) {
			err = take_ifunc(w, &v, i, name);
		} else {
			err = take(w, &v, i, name);
		}
	}
	if (err == -ENOSPC)
		snprintf(w->why, w->why_size, "'%.100s' is too wide: more than %d places",
			 w->spec->text, PLAN_MAX_SITES);
	free(v.code);
	free(v.ifuncs);
	return err;
}

static void suggest_in(const struct symbols_module *m, const char *asked, uint32_t *limit,
		       char *buf, size_t size)
{
	const struct elf_function *fns;
	uint32_t n;

	if (elf_image_functions(m->image, &fns, &n))
		return;
	for (uint32_t i = 0; i < n && *limit; i++) {
		uint32_t d = name_distance(asked, fns[i].name, *limit - 1);

		if (d < *limit && d) {
			*limit = d;
			snprintf(buf, size, "%s", fns[i].name);
			buf[strcspn(buf, "@")] = '\0';
		}
	}
}

static void suggest_marker(const struct symbols_module *m, char *buf, size_t size)
{
	const struct elf_usdt *u;
	uint32_t n;

	if (!buf[0] && !elf_image_usdts(m->image, &u, &n) && n)
		snprintf(buf, size, "%s:%s", u[0].provider, u[0].name);
}

/* The same name in a file that was not asked: python3's functions are in libpython. */
static void suggest_elsewhere(struct plan_work *w, char *buf, size_t size)
{
	uint32_t nmods, n;
	const struct symbols_module *mods = symbols_modules(w->syms, &nmods);

	for (uint32_t m = 0; m < nmods; m++) {
		const struct elf_function *fns;

		if (!mods[m].image || mods[m].path[0] != '/' ||
		    elf_image_functions(mods[m].image, &fns, &n))
			continue;
		for (uint32_t i = 0; i < n; i++) {
			if (!name_pattern_match(&w->spec->name, fns[i].name))
				continue;
			snprintf(buf, size, "%.60s:%.60s", strrchr(mods[m].path, '/') + 1,
				 w->spec->name.text);
			return;
		}
	}
}

void plan_suggest(struct plan_work *w, const struct symbols_module *const *mods, uint32_t n,
		  char *buf, size_t size)
{
	const char *asked = w->spec->name.text;
	uint32_t limit = (uint32_t)strlen(asked) / 3 + 2;

	buf[0] = '\0';
	limit = limit > 4 ? 4 : limit;
	for (uint32_t i = 0; i < n; i++) {
		if (w->spec->kind == SPEC_USDT)
			suggest_marker(mods[i], buf, size);
		else if (w->spec->name.kind == PATTERN_EXACT)
			suggest_in(mods[i], asked, &limit, buf, size);
	}
	/* A regular expression would lose its slashes here. */
	if (w->spec->kind == SPEC_FUNCTION && w->spec->module[0] &&
	    w->spec->name.kind != PATTERN_REGEX)
		suggest_elsewhere(w, buf, size);
}
