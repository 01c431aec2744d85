/* SPDX-License-Identifier: Apache-2.0 */
/* probe_plan.c: from -e texts to rows and sites. */
#include "collectors/probe_plan.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/probe_plan_priv.h"
#include "probes/contract.h"

/* Memory that histograms may take in the kernel. */
#define PLAN_HIST_BYTES (64u << 20)

enum { PLAN_MAX_MODULES = 64 };

static uint32_t slot_cap(void)
{
	int ncpu = libbpf_num_possible_cpus();
	size_t fit = PLAN_HIST_BYTES / sizeof(struct contract_hist) / (ncpu > 0 ? ncpu : 1);

	/* One slot is calibration's. */
	return fit < CONTRACT_FUNC_SLOTS ? (uint32_t)fit - 1 : CONTRACT_FUNC_SLOTS - 1;
}

/* "std::vector<…>::push_back": the ends say more than the middle. */
static void shorten(char *dst, size_t size, const char *src)
{
	size_t n = strlen(src), head = size / 2 - 2, tail = size - head - 4;

	if (n < size) {
		snapshot_string(dst, size, src);
		return;
	}
	char *cut = malloc(size);

	if (!cut) {
		snapshot_string(dst, size, src);
		return;
	}
	snprintf(cut, size, "%.*s…%s", (int)head, src, src + n - tail);
	snapshot_string(dst, size, cut);
	free(cut);
}

static void fill_row(struct probe_row *row, const char *name, const struct symbols_module *m,
		     uint32_t source)
{
	const char *file = strrchr(m->path, '/');

	memset(row, 0, sizeof(*row));
	shorten(row->name, sizeof(row->name), name);
	snapshot_string(row->module, sizeof(row->module), file ? file + 1 : m->path);
	row->source = source;
}

struct probe_row *plan_add_row(struct plan_work *w, const char *name,
			       const struct symbols_module *m, uint32_t source)
{
	struct probe_plan *p = w->plan;
	struct probe_row row;

	fill_row(&row, name, m, source);
	for (uint32_t i = w->first_row; i < p->nrows; i++)
		if (!strcmp(p->rows[i].name, row.name) && !strcmp(p->rows[i].module, row.module))
			return &p->rows[i];
	if (p->nrows == p->cap) {
		w->over++;
		return NULL;
	}
	p->rows[p->nrows] = row;
	return &p->rows[p->nrows++];
}

void plan_add_refused(struct plan_work *w, const char *name, const struct symbols_module *m,
		      const struct place *place, double cost_ns, const char *note)
{
	struct probe_plan *p = w->plan;
	struct probe_row *row;

	if (p->nrefused == PLAN_MAX_REFUSED)
		return;
	row = &p->refused[p->nrefused++];
	fill_row(row, name, m, LATENCY_UPROBE);
	row->how = PROBE_REFUSED;
	row->place = *place;
	row->cost_ns = cost_ns;
	snapshot_string(row->note, sizeof(row->note), note);
}

int plan_add_file(struct probe_plan *p, const struct symbols_module *m)
{
	for (uint32_t i = 0; i < p->nfiles; i++)
		if (!strcmp(p->files[i].path, m->path))
			return (int)i;
	if (p->nfiles == PLAN_MAX_FILES)
		return -ENOSPC;
	snprintf(p->files[p->nfiles].path, sizeof(p->files[0].path), "%s", m->path);
	p->files[p->nfiles].start = m->start;
	p->files[p->nfiles].end = m->end;
	return (int)p->nfiles++;
}

bool plan_has_site(const struct probe_plan *p, uint32_t file, uint64_t offset)
{
	for (uint32_t i = 0; i < p->nsites; i++)
		if (p->sites[i].file == file && p->sites[i].offset == offset)
			return true;
	return false;
}

int plan_add_site(struct probe_plan *p, const struct probe_site *site)
{
	if (p->nsites == PLAN_MAX_SITES)
		return -ENOSPC;
	p->sites[p->nsites++] = *site;
	p->rows[site->row].nsites++;
	return 0;
}

static void say_not_found(struct plan_work *w, const struct symbols_module *const *mods, uint32_t n)
{
	const char *what = w->spec->kind == SPEC_USDT ? "USDT marker" : "function", *file;
	char near[SNAP_NAME], where[128] = "any file that the process maps";

	if (w->spec->module[0]) {
		file = strrchr(mods[0]->path, '/');
		snprintf(where, sizeof(where), "%.127s", file ? file + 1 : mods[0]->path);
	}
	if (w->ifuncs) {
		snprintf(w->why, w->why_size,
			 "'%.100s' in %s is chosen at run time (IFUNC), and the process holds no "
			 "choice that lies there",
			 w->spec->name.text, where);
		return;
	}
	plan_suggest(w, mods, n, near, sizeof(near));
	snprintf(w->why, w->why_size, "no %s '%.100s' in %s%s%s%s", what, w->spec->name.text, where,
		 near[0] ? "; did you mean '" : "", near, near[0] ? "'?" : "");
}

static int check_result(struct plan_work *w, const struct symbols_module *const *mods, uint32_t n)
{
	struct probe_plan *p = w->plan;

	if (w->over) {
		snprintf(w->why, w->why_size,
			 "'%.100s' is too wide: all probes together are %u, "
			 "and %u is the most",
			 w->spec->text, p->nrows + w->over, p->cap);
		return -E2BIG;
	}
	/* An old version of memcpy may be a plain function; nobody calls it. */
	if (!w->matched || (w->ifuncs && w->spec->name.kind == PATTERN_EXACT)) {
		say_not_found(w, mods, n);
		return -ENOENT;
	}
	if (p->nrows == w->first_row && p->nrefused) {
		const struct probe_row *r = &p->refused[p->nrefused - 1];

		snprintf(w->why, w->why_size,
			 "'%.100s': every match would be single-stepped, %.0f ns a call (%s); "
			 "name one exactly, or use --force",
			 w->spec->text, r->cost_ns, r->place.reason);
		return -EPERM;
	}
	return 0;
}

static int resolve_spec(struct plan_work *w)
{
	const struct symbols_module *mods[PLAN_MAX_MODULES];
	uint32_t n = plan_find_modules(w, mods, PLAN_MAX_MODULES);
	int err = 0;

	if (!n) {
		char mapped[160];

		plan_list_modules(w, mapped, sizeof(mapped));
		snprintf(w->why, w->why_size, "%.80s is not mapped by the process; mapped: %s",
			 w->spec->module, mapped);
		return -ENOENT;
	}
	w->first_row = w->plan->nrows;
	for (uint32_t i = 0; i < n && !err; i++)
		err = w->spec->kind == SPEC_USDT ? plan_match_markers(w, mods[i])
						 : plan_match_functions(w, mods[i]);
	return err ? err : check_result(w, mods, n);
}

static int resolve_all(struct probe_plan *p, struct symbols *syms, const char *const *specs,
		       uint32_t n, char *why, size_t why_size)
{
	int err = 0;

	for (uint32_t i = 0; i < n && !err; i++) {
		struct probe_spec spec;
		struct plan_work w = {
			.plan = p, .spec = &spec, .syms = syms, .why = why, .why_size = why_size};

		err = probe_spec_parse(specs[i], &spec, why, why_size);
		if (err)
			break;
		err = resolve_spec(&w);
		probe_spec_fini(&spec);
	}
	return err;
}

struct probe_plan *probe_plan_new(struct symbols *syms, const char *const *specs, uint32_t n,
				  const struct place_options *opt, char *why, size_t why_size)
{
	struct probe_plan *p = calloc(1, sizeof(*p));

	snprintf(why, why_size, "out of memory");
	if (!p)
		return NULL;
	if (opt)
		p->opt = *opt;
	if (p->opt.costs)
		p->costs = *p->opt.costs;
	else
		calibrate_run(&p->costs);
	p->cap = slot_cap();
	p->rows = calloc(p->cap, sizeof(*p->rows));
	p->refused = calloc(PLAN_MAX_REFUSED, sizeof(*p->refused));
	p->sites = calloc(PLAN_MAX_SITES, sizeof(*p->sites));
	if (!p->rows || !p->refused || !p->sites || resolve_all(p, syms, specs, n, why, why_size)) {
		probe_plan_free(p);
		return NULL;
	}
	why[0] = '\0';
	return p;
}

void probe_plan_free(struct probe_plan *p)
{
	if (!p)
		return;
	free(p->rows);
	free(p->refused);
	free(p->sites);
	free(p);
}

uint32_t probe_plan_slots(const struct probe_plan *p)
{
	return p->nrows ? p->nrows + 1 : 0;
}

uint32_t probe_plan_rows(const struct probe_plan *p)
{
	return p->nrows;
}

uint32_t probe_plan_refused(const struct probe_plan *p)
{
	return p->nrefused;
}

const struct probe_row *probe_plan_row(const struct probe_plan *p, uint32_t i)
{
	if (i < p->nrows)
		return &p->rows[i];
	return i - p->nrows < p->nrefused ? &p->refused[i - p->nrows] : NULL;
}

const struct probe_site *probe_plan_sites(const struct probe_plan *p, uint32_t *n)
{
	*n = p->nsites;
	return p->sites;
}

const struct probe_file *probe_plan_file(const struct probe_plan *p, uint32_t i)
{
	return i < p->nfiles ? &p->files[i] : NULL;
}

uint32_t probe_plan_files(const struct probe_plan *p)
{
	return p->nfiles;
}

const struct calibration *probe_plan_costs(const struct probe_plan *p)
{
	return &p->costs;
}

static const char *measure_name(enum probe_measure how)
{
	static const char *const names[] = {
		[PROBE_LATENCY] = "latency",
		[PROBE_COUNT] = "count",
		[PROBE_PAIR] = "pair",
		[PROBE_REFUSED] = "refused",
	};

	return names[how];
}

int probe_plan_list(const struct probe_plan *p, FILE *out)
{
	fprintf(out, "%9s  %-8s %-16s %-20s %-32s %s\n", "NS/CALL", "MEASURE", "PLACE", "FILE",
		"NAME", "WHY");
	for (uint32_t i = 0; i < p->nrows + p->nrefused; i++) {
		const struct probe_row *r = probe_plan_row(p, i);
		char place[48], cost[16] = "?";

		snprintf(place, sizeof(place), "+%u %s", r->place.delta,
			 r->place.insn == INSN_OTHER ? "stepped" : insn_kind_name(r->place.insn));
		if (r->cost_ns > 0)
			snprintf(cost, sizeof(cost), "%.0f", r->cost_ns);
		fprintf(out, "%9s  %-8s %-16s %-20s %-32s %s", cost, measure_name(r->how), place,
			r->module, r->name, r->note[0] ? r->note : r->place.reason);
		if (r->nsites > 1)
			fprintf(out, " (%u places)", r->nsites);
		fputc('\n', out);
	}
	return ferror(out) ? -EIO : 0;
}
