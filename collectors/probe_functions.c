/* SPDX-License-Identifier: Apache-2.0 */
/* probe_functions.c: functions of one file that a probe names, placed and priced. */
#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <libiberty/demangle.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/demangle.h"
#include "collectors/elf_image_ifunc.h"
#include "collectors/name_words.h"
#include "collectors/probe_parts.h"
#include "collectors/probe_plan_priv.h"

enum {
	FUNCTIONS_MAX_NAME = 1024,
	FUNCTIONS_MAX_IFUNCS = 2048,
	FUNCTIONS_MAX_BODY = 1 << 20,	 /* larger ones are decoded up to here */
	FUNCTIONS_MAX_UNSIZED = 1 << 16, /* when the table gives no size */
	FUNCTIONS_MAX_PARTS = 4,
	FUNCTIONS_MAX_EXITS = 64,
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
	uint32_t *colds; /* indices of NAME.cold…, by name */
	uint32_t ncolds;
	bool go, go_registers, unwinds;
	uint64_t go_text, go_end; /* Go's own functions: others are C's */
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
	if (name_is_made_up(raw)) {
		snprintf(name, size, "%s", raw);
		return name_is_made_up(v->pattern->text) && name_pattern_match(v->pattern, raw);
	}
	memcpy(name, raw, n);
	name[n] = '\0';
	if (name_pattern_match(v->pattern, name)) {
		/* A pattern that fits the mangled name: show it as people write it. */
		if (v->pattern->kind != PATTERN_EXACT)
			demangle_name(raw, name, size);
		name[base_length(name)] = '\0';
		return true;
	}
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

static int compare_cold(const void *a, const void *b, void *arg)
{
	const struct elf_function *fns = arg;

	return strcmp(fns[*(const uint32_t *)a].name, fns[*(const uint32_t *)b].name);
}

static int find_colds(struct view *v)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < v->n; i++)
		n += strstr(v->fns[i].name, ".cold") != NULL;
	v->colds = malloc((n + 1) * sizeof(*v->colds));
	if (!v->colds)
		return -ENOMEM;
	for (uint32_t i = 0; i < v->n; i++)
		if (strstr(v->fns[i].name, ".cold"))
			v->colds[v->ncolds++] = i;
	qsort_r(v->colds, v->ncolds, sizeof(*v->colds), compare_cold, (void *)v->fns);
	return 0;
}

/* Index of the first cold part of that name, or of what comes behind its place. */
static uint32_t first_cold(const struct view *v, const char *name, size_t n)
{
	uint32_t lo = 0, hi = v->ncolds;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int c = strncmp(v->fns[v->colds[mid]].name, name, n);

		if (c < 0 || (!c && strncmp(v->fns[v->colds[mid]].name + n, ".cold", 5) < 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Read the body and its out-of-line parts into v->code. */
static uint32_t read_parts(struct view *v, uint32_t i, struct place_code *parts)
{
	const char *name = v->fns[i].name;
	size_t n = strlen(name), used = 0;
	uint32_t nparts = 0, cold = first_cold(v, name, n), k = i;

	while (nparts < FUNCTIONS_MAX_PARTS) {
		size_t size = size_of(v, k), room = FUNCTIONS_MAX_BODY - used;

		parts[nparts].vaddr = v->fns[k].vaddr;
		parts[nparts].bytes = v->code + used;
		parts[nparts].size = elf_image_read(v->m->image, v->fns[k].vaddr, v->code + used,
						    size < room ? size : room);
		used += parts[nparts++].size;
		if (cold == v->ncolds || strncmp(v->fns[v->colds[cold]].name, name, n) != 0 ||
		    strncmp(v->fns[v->colds[cold]].name + n, ".cold", 5) != 0)
			break;
		k = v->colds[cold++];
	}
	if (!v->ncolds && !v->go)
		probe_parts_unnamed(v->m->image, parts, &nparts, FUNCTIONS_MAX_PARTS,
				    v->code + used, FUNCTIONS_MAX_BODY - used);
	return nparts;
}

static void write_note(struct plan_work *w, struct probe_row *row)
{
	const struct place *pl = &row->place;

	if (pl->how == PLACE_STEPPED)
		snprintf(row->note, sizeof(row->note), "single-stepped: latency includes ~%.1f µs",
			 w->plan->costs.entry_ns[INSN_OTHER] / 1e3);
	else if (row->goroutines)
		snprintf(row->note, sizeof(row->note),
			 "a goroutine's time, also off its thread; returns are stepped");
	else if (row->exits)
		snprintf(row->note, sizeof(row->note),
			 "at its returns, stepped; exceptions may pass");
	else if (pl->how == PLACE_COUNTED)
		snprintf(row->note, sizeof(row->note), "entry only: no latency without --force");
	else if (pl->loops)
		snprintf(row->note, sizeof(row->note), "loops to its entry: rounds count as calls");
	else if (pl->how == PLACE_MOVED)
		snprintf(row->note, sizeof(row->note), "probe at +%u (%s)%s", pl->delta,
			 insn_kind_name(pl->insn), pl->jump_table ? ", jump table" : "");
}

/* A match as it is placed. */
struct candidate {
	struct place place;
	struct place_code parts[FUNCTIONS_MAX_PARTS];
	uint32_t nparts;
	bool goroutines;
	const char *only; /* why entries are counted and no more; NULL: latency */
	uint64_t exits[FUNCTIONS_MAX_EXITS]; /* vaddrs, when latency comes from there */
	int nexits;
	double cost_ns;
};

static bool is_go(const struct view *v, uint32_t i)
{
	return v->go && v->fns[i].vaddr >= v->go_text && v->fns[i].vaddr < v->go_end;
}

/*
 * A return address is not to be touched on a stack that is copied. The returns themselves are
 * probed, by a single step each: for what was named, or forced. Assembly knows no goroutine.
 */
static const char *go_only(const struct view *v, uint32_t i, bool precious, struct candidate *c)
{
	const char *name = v->fns[i].name;
	size_t n = strlen(name);

	if (!precious)
		return "Go: entries only; latency when named in full";
	if (!v->go_registers)
		return "Go: entries only, built before Go 1.18";
	if (n > 5 && !strcmp(name + n - 5, ".abi0"))
		return "Go: entries only, it is assembly";
	if (c->place.how == PLACE_COUNTED || c->place.loops)
		return "Go: entries only, no place for a probe";
	c->goroutines = true;
	return NULL;
}

/* What a return probe would break is measured at its returns, or counted alone. */
static void choose_measure(struct plan_work *w, struct view *v, uint32_t i, bool precious,
			   struct candidate *c)
{
	const struct calibration *costs = &w->plan->costs;
	int machine = elf_image_machine(v->m->image);

	c->cost_ns = calibrate_cost_ns(costs, c->place.insn, c->place.returns);
	if (is_go(v, i))
		c->only = go_only(v, i, precious, c);
	else if (c->place.returns && plan_returns_oddly(v->fns[i].name))
		c->only = plan_returns_oddly(v->fns[i].name);
	else if (c->place.returns && v->unwinds && !place_is_leaf(machine, c->parts, c->nparts))
		c->only = "entries only: exceptions may pass, see --force";
	if (!c->only && !c->goroutines)
		return;
	c->place.returns = false;
	c->cost_ns = calibrate_cost_ns(costs, c->place.insn, false);
	if (!c->goroutines &&
	    (is_go(v, i) || !v->unwinds || !precious || plan_returns_oddly(v->fns[i].name)))
		return;
	c->nexits = place_exits(machine, c->parts, c->nparts, c->exits, FUNCTIONS_MAX_EXITS);
	if (c->nexits <= 0) {
		c->nexits = 0;
		c->only = c->goroutines ? "Go: entries only, returns unclear"
					: "entries only: exceptions may pass, returns unclear";
		c->goroutines = false;
		return;
	}
	c->only = NULL;
	c->cost_ns += calibrate_cost_ns(costs, INSN_OTHER, false);
}

static int add_exits(struct plan_work *w, struct view *v, const struct candidate *c,
		     struct probe_site site)
{
	int err = 0;

	site.end = true;
	for (int i = 0; i < c->nexits && !err; i++) {
		if (elf_image_offset_of(v->m->image, c->exits[i], &site.offset))
			return -EINVAL;
		if (!plan_has_site(w->plan, site.file, site.offset))
			err = plan_add_site(w->plan, &site);
	}
	return err;
}

static int add_candidate(struct plan_work *w, struct view *v, const char *name,
			 const struct candidate *c, struct probe_site site)
{
	bool latency = c->place.returns || c->nexits;
	struct probe_row *row = plan_add_row(w, name, v->m, LATENCY_UPROBE);
	int err;

	if (!row)
		return 0;
	site.row = (uint32_t)(row - w->plan->rows);
	if (!row->nsites || c->cost_ns > row->cost_ns) {
		row->place = c->place;
		row->cost_ns = c->cost_ns;
	}
	/* Of several of one name, the least that any can do; those of one kind are alike. */
	if (!row->nsites || !latency || row->exits != (c->nexits > 0)) {
		row->how = latency && (!row->nsites || row->exits == (c->nexits > 0))
				   ? PROBE_LATENCY
				   : PROBE_COUNT;
		row->exits = row->how == PROBE_LATENCY && c->nexits;
		row->goroutines = row->exits && c->goroutines;
	}
	write_note(w, row);
	if (c->only && row->how == PROBE_COUNT)
		snprintf(row->note, sizeof(row->note), "%s", c->only);
	err = plan_add_site(w->plan, &site);
	return !err && row->exits ? add_exits(w, v, c, site) : err;
}

/* Timed by a library in the process: at its entry, whatever stands there. */
static int take_in_process(struct plan_work *w, struct view *v, uint32_t i, const char *name,
			   struct probe_site *site, uint64_t entry)
{
	const char *reason = v->go ? "Go: its stacks move" : plan_untimed(v->fns, v->n, i);
	struct place place = {.how = PLACE_ENTRY, .returns = true, .reason = ""};
	struct probe_row *row;

	w->matched++;
	site->offset = entry;
	if (plan_has_site(w->plan, site->file, site->offset))
		return 0;
	if (reason) {
		place.reason = reason;
		plan_add_refused(w, name, v->m, &place, 0, reason);
		return 0;
	}
	row = plan_add_row(w, name, v->m, LATENCY_IN_PROCESS);
	if (!row)
		return 0;
	row->place = place;
	row->how = PROBE_LATENCY;
	site->row = (uint32_t)(row - w->plan->rows);
	return plan_add_site(w->plan, site);
}

/* A match is placed, priced, and becomes a site of a row, or is refused. 0 or -errno. */
static int take(struct plan_work *w, struct view *v, uint32_t i, const char *name)
{
	struct candidate c = {.nexits = 0};
	struct probe_plan *p = w->plan;
	struct probe_site site = {.file = (uint32_t)v->file};
	bool precious = v->pattern->kind == PATTERN_EXACT || p->opt.force;
	int machine = elf_image_machine(v->m->image);
	uint64_t entry;

	if (elf_image_offset_of(v->m->image, v->fns[i].vaddr, &entry))
		return 0;
	if (v->file < 0) {
		v->file = plan_add_file(w, v->m);
		if (v->file < 0)
			return v->file;
		site.file = (uint32_t)v->file;
	}
	if (p->opt.in_process)
		return take_in_process(w, v, i, name, &site, entry);
	c.nparts = read_parts(v, i, c.parts);
	if (is_go(v, i))
		place_go_function(machine, c.parts, c.nparts, p->costs.emulated, precious,
				  &c.place);
	else
		place_function(machine, c.parts, c.nparts, p->costs.emulated, p->opt.force,
			       &c.place);
	site.offset = entry + c.place.delta;
	site.go_check = c.place.go_check;
	w->matched++;
	if (plan_has_site(p, site.file, site.offset))
		return 0; /* an alias of what is there already */
	choose_measure(w, v, i, precious, &c);
	if (c.place.how == PLACE_REFUSED || (c.place.how == PLACE_STEPPED && !precious)) {
		plan_add_refused(w, name, v->m, &c.place, c.cost_ns, c.place.reason);
		return 0;
	}
	return add_candidate(w, v, name, &c, site);
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

/* What the linker puts around Go's text; with cgo there is other code too. */
static void find_go(struct view *v)
{
	v->go = elf_image_is_go(v->m->image);
	v->go_registers = v->go && elf_image_machine(v->m->image) == EM_X86_64 &&
			  elf_image_go_has_registers(v->m->image);
	v->go_text = 0;
	v->go_end = UINT64_MAX;
	for (uint32_t i = 0; v->go && i < v->n; i++) {
		if (!strcmp(v->fns[i].name, "runtime.text"))
			v->go_text = v->fns[i].vaddr;
		else if (!strcmp(v->fns[i].name, "runtime.etext"))
			v->go_end = v->fns[i].vaddr;
	}
}

static int open_view(struct plan_work *w, struct view *v, const struct symbols_module *m)
{
	int n;

	*v = (struct view){.m = m, .pattern = &w->spec->name};
	if (elf_image_functions(m->image, &v->fns, &v->n))
		v->n = 0;
	v->file = -1;
	find_go(v);
	v->unwinds = plan_unwinds(m);
	if (find_colds(v))
		return -ENOMEM;
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
		if (is_ifunc(&v, v.fns[i].vaddr))
			err = take_ifunc(w, &v, i, name);
		else
			err = take(w, &v, i, name);
	}
	if (err == -ENOSPC)
		snprintf(w->why, w->why_size, "'%.100s' is too wide: more than %d places",
			 w->spec->text, PROBE_PLAN_SITES);
	free(v.code);
	free(v.ifuncs);
	free(v.colds);
	return err;
}
