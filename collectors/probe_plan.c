/* SPDX-License-Identifier: Apache-2.0 */
/* probe_plan.c: from -e texts to rows and sites. */
#include "collectors/probe_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "collectors/elf_image_priv.h"
#include "collectors/probe_plan_priv.h"
#include "collectors/procfs.h"
#include "probes/contract.h"

enum {
	PLAN_MAX_MODULES = 512,
	PLAN_LATE_ROWS = 64,	 /* kept for files that may come and also have the name */
	PLAN_AWAITED_ROWS = 384, /* for each library that is waited for, */
	PLAN_ROWS_FULL = CONTRACT_FUNC_FULL - 1, /* but not at the price of compact histograms */
};

static uint64_t hash_text(uint64_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ull; /* FNV-1a */
	return h;
}

static uint32_t hash_site(uint32_t file, uint64_t offset)
{
	return (uint32_t)(((offset + ((uint64_t)file << 48)) * 0x9e3779b97f4a7c15ull) >> 40);
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
	memset(row, 0, sizeof(*row));
	shorten(row->name, sizeof(row->name), name);
	snapshot_string(row->module, sizeof(row->module), m->name);
	row->source = source;
}

static uint32_t *row_place(struct probe_plan *p, const struct probe_row *row)
{
	uint64_t h =
		hash_text(hash_text(0xcbf29ce484222325ull + row->spec, row->name), row->module);

	for (uint32_t i = (uint32_t)(h ^ h >> 32);; i++) {
		uint32_t *at = &p->row_hash[i % PLAN_HASH];
		const struct probe_row *r = &p->rows[*at ? *at - 1 : 0];

		if (!*at || (r->spec == row->spec && !strcmp(r->name, row->name) &&
			     !strcmp(r->module, row->module)))
			return at;
	}
}

struct probe_row *plan_add_row(struct plan_work *w, const char *name,
			       const struct symbols_module *m, uint32_t source)
{
	struct probe_plan *p = w->plan;
	struct probe_row row;
	uint32_t *at;

	fill_row(&row, name, m, source);
	row.spec = w->index;
	at = row_place(p, &row);
	if (*at)
		return &p->rows[*at - 1];
	if (p->nrows == p->cap) {
		w->over++;
		return NULL;
	}
	p->rows[p->nrows] = row;
	*at = ++p->nrows;
	return &p->rows[*at - 1];
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

int plan_identify(const struct symbols_module *m, uint64_t *dev, uint64_t *inode)
{
	struct stat st;

	if (fstat(m->image->fd, &st))
		return -errno;
	*dev = st.st_dev;
	*inode = st.st_ino;
	return 0;
}

int plan_add_file(struct plan_work *w, const struct symbols_module *m)
{
	struct probe_plan *p = w->plan;
	struct probe_file *f;
	uint64_t dev = 0, inode = 0;

	plan_identify(m, &dev, &inode);
	for (uint32_t i = 0; i < p->nfiles; i++)
		if (p->files[i].inode == inode && p->files[i].dev == dev &&
		    !strcmp(p->files[i].path, m->path))
			return (int)i;
	if (p->nfiles == PLAN_MAX_FILES)
		return -ENOSPC;
	f = &p->files[p->nfiles];
	snprintf(f->path, sizeof(f->path), "%s", m->path);
	f->start = m->start;
	f->end = m->end;
	f->dev = dev;
	f->inode = inode;
	f->pid = w->pid;
	f->mapped = true;
	return (int)p->nfiles++;
}

static uint32_t *site_place(const struct probe_plan *p, uint32_t file, uint64_t offset)
{
	for (uint32_t i = hash_site(file, offset);; i++) {
		uint32_t *at = &p->site_hash[i % PLAN_HASH];

		if (!*at || (p->sites[*at - 1].file == file && p->sites[*at - 1].offset == offset))
			return at;
	}
}

bool plan_has_site(const struct probe_plan *p, uint32_t file, uint64_t offset)
{
	return *site_place(p, file, offset) != 0;
}

int plan_add_site(struct probe_plan *p, const struct probe_site *site)
{
	if (p->nsites == PROBE_PLAN_SITES)
		return -ENOSPC;
	p->sites[p->nsites] = *site;
	*site_place(p, site->file, site->offset) = ++p->nsites;
	p->rows[site->row].nsites += !site->end;
	return 0;
}

static void say_not_found(struct plan_work *w, const struct symbols_module *const *mods, uint32_t n)
{
	const char *what = w->spec->kind == SPEC_USDT ? "USDT marker" : "function", *file;
	char near[SNAP_NAME], where[128] = "any file that the process maps";
	size_t at;

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
	if (plan_find_inlined(w, mods, n, w->why, w->why_size))
		return;
	plan_suggest(w, mods, n, near, sizeof(near));
	at = (size_t)snprintf(w->why, w->why_size, "no %s '%.100s' in %s%s%s%s", what,
			      w->spec->name.text, where, near[0] ? "; did you mean '" : "", near,
			      near[0] ? "'?" : "");
	file = strrchr(mods[0]->path, '/');
	if (w->spec->kind != SPEC_USDT && plan_is_stripped(mods[0]) && at < w->why_size)
		at += (size_t)snprintf(
			w->why + at, w->why_size - at,
			"; %.60s is stripped, its NAME-dbgsym package brings its names",
			file ? file + 1 : mods[0]->path);
	if (w->plan->opt.more && !w->spec->module[0] && at < w->why_size)
		snprintf(w->why + at, w->why_size - at,
			 "; '*:%.60s' waits for a process that has it", w->spec->name.text);
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

		if (p->opt.in_process) {
			snprintf(w->why, w->why_size, "'%.80s' cannot be timed in the process: %s",
				 w->spec->text, r->place.reason);
			return -EPERM;
		}
		snprintf(w->why, w->why_size,
			 "'%.80s': every match would be single-stepped, %.0f ns a call (%.60s); "
			 "name one exactly, or use --force",
			 w->spec->text, r->cost_ns, r->place.reason);
		return -EPERM;
	}
	return 0;
}

/* Match the spec against those of the files that it was not matched against before. */
int plan_match_new(struct plan_work *w, const struct symbols_module *const *mods, uint32_t n)
{
	struct probe_plan *p = w->plan;
	int err = 0;

	for (uint32_t i = 0; i < n && !err; i++) {
		struct plan_seen now = {.spec = w->index}, *more;
		uint32_t k = 0;

		plan_identify(mods[i], &now.dev, &now.inode);
		while (k < p->nseen && (p->seen[k].spec != now.spec ||
					p->seen[k].inode != now.inode || p->seen[k].dev != now.dev))
			k++;
		if (k < p->nseen)
			continue;
		if (p->nseen == PLAN_MAX_SEEN)
			return -ENOSPC;
		more = realloc(p->seen, (p->nseen + 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		p->seen = more;
		p->seen[p->nseen++] = now;
		if (w->spec->kind == SPEC_FUNCTION && w->spec->module[0])
			plan_hint_stripped(p, mods[i]);
		err = w->spec->kind == SPEC_USDT ? plan_match_markers(w, mods[i])
						 : plan_match_functions(w, mods[i]);
	}
	return err;
}

static int say_not_mapped(struct plan_work *w)
{
	char mapped[160];

	plan_list_modules(w, mapped, sizeof(mapped));
	if (!mapped[0])
		snprintf(w->why, w->why_size, "'%.80s': %s", w->spec->text,
			 w->pid && procfs_is_32_bit(w->pid)
				 ? "it is a 32-bit program, whose functions are not "
				   "probed; leave -e out"
				 : "none of the files that the process maps can be opened; "
				   "where few open files are allowed: ulimit -n 1024");
	else
		snprintf(w->why, w->why_size, "%.80s is not mapped by the process%s; mapped: %s",
			 w->spec->module, w->plan->opt.nbeside ? ", nor by the others" : "",
			 mapped);
	return -ENOENT;
}

static void look_into(struct plan_work *w, struct symbols *syms)
{
	w->syms = syms;
	w->pid = w->plan->opt.pid ? symbols_pid(syms) : 0;
}

/* In every process. Those of the first that has modules of that name go to mods[0..*n). */
static int match_everywhere(struct plan_work *w, struct symbols *first,
			    const struct symbols_module **mods, uint32_t *n)
{
	const struct symbols_module *more[PLAN_MAX_MODULES];
	struct symbols *with = first;
	int err;

	look_into(w, first);
	*n = plan_find_modules(w, mods, PLAN_MAX_MODULES);
	err = plan_match_new(w, mods, *n);
	for (uint32_t i = 0; i < w->plan->opt.nbeside && !err; i++) {
		const struct symbols_module **to = *n ? more : mods;
		uint32_t found;

		look_into(w, w->plan->opt.beside[i]);
		found = plan_find_modules(w, to, PLAN_MAX_MODULES);
		err = plan_match_new(w, to, found);
		if (to == mods && found) {
			*n = found;
			with = w->syms;
		}
	}
	look_into(w, with);
	return err;
}

static int resolve_spec(struct plan_work *w, struct symbols *first)
{
	const struct symbols_module *mods[PLAN_MAX_MODULES];
	bool *waits = &w->plan->waits[w->index];
	uint32_t n;
	int err;

	w->first_row = w->plan->nrows;
	err = match_everywhere(w, first, mods, &n);
	*waits = !err && (n ? !w->matched && w->spec->any
			    : w->plan->opt.more || probe_spec_is_library(w->spec->module));
	if (err || *waits)
		return err;
	return n ? check_result(w, mods, n) : say_not_mapped(w);
}

static int resolve_all(struct probe_plan *p, struct symbols *syms, const char *const *specs,
		       uint32_t n, char *why, size_t why_size)
{
	int err = 0;

	p->specs = calloc(n, sizeof(*p->specs));
	p->waits = calloc(n, sizeof(*p->waits));
	if (!p->specs || !p->waits)
		return -ENOMEM;
	for (uint32_t i = 0; i < n && !err; i++) {
		struct plan_work w = {.plan = p,
				      .spec = &p->specs[i],
				      .index = i,
				      .why = why,
				      .why_size = why_size};

		err = probe_spec_parse(specs[i], &p->specs[i], why, why_size);
		p->nspecs += !err;
		if (!err)
			err = resolve_spec(&w, syms);
	}
	return err;
}

/* Room for what libraries that come later may add. */
static void fix_slots(struct probe_plan *p)
{
	uint32_t late = 0, most = p->nrows < PLAN_ROWS_FULL ? PLAN_ROWS_FULL : p->cap;

	for (uint32_t i = 0; i < p->nspecs; i++) {
		if (p->waits[i])
			late += PLAN_AWAITED_ROWS;
		else if (p->opt.more || !p->specs[i].module[0] ||
			 strpbrk(p->specs[i].module, "*?["))
			late += PLAN_LATE_ROWS;
	}
	p->cap = p->nrows + late < most ? p->nrows + late : most;
	p->slots = p->cap ? p->cap + 1 : 0;
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
	p->cap = CONTRACT_FUNC_SLOTS - 1;
	p->rows = calloc(p->cap, sizeof(*p->rows));
	p->refused = calloc(PLAN_MAX_REFUSED, sizeof(*p->refused));
	p->sites = calloc(PROBE_PLAN_SITES, sizeof(*p->sites));
	p->row_hash = calloc(PLAN_HASH, sizeof(*p->row_hash));
	p->site_hash = calloc(PLAN_HASH, sizeof(*p->site_hash));
	if (!p->rows || !p->refused || !p->sites || !p->row_hash || !p->site_hash ||
	    resolve_all(p, syms, specs, n, why, why_size)) {
		probe_plan_free(p);
		return NULL;
	}
	fix_slots(p);
	p->opt.beside = NULL;
	p->opt.nbeside = 0;
	why[0] = '\0';
	return p;
}

void probe_plan_free(struct probe_plan *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->nspecs; i++)
		probe_spec_fini(&p->specs[i]);
	free(p->specs);
	free(p->waits);
	free(p->seen);
	free(p->hints);
	free(p->rows);
	free(p->refused);
	free(p->sites);
	free(p->row_hash);
	free(p->site_hash);
	free(p);
}

uint32_t probe_plan_slots(const struct probe_plan *p)
{
	return p->slots;
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
