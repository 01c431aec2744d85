/* SPDX-License-Identifier: Apache-2.0 */
/* probe_plan_priv.h: what the files that build a plan share. */
#ifndef PERFTOP_PROBE_PLAN_PRIV_H
#define PERFTOP_PROBE_PLAN_PRIV_H

#include "collectors/elf_image.h"
#include "collectors/probe_plan.h"
#include "collectors/probe_spec.h"
#include "collectors/symbols.h"

enum {
	PLAN_MAX_FILES = 512,
	PLAN_MAX_REFUSED = 16384,
	PLAN_MAX_SEEN = 16384, /* files that a target can have us look into */
	PLAN_HASH = 1 << 16,   /* twice the most rows or sites, at least */
};

/* A file that a spec was matched against. */
struct plan_seen {
	uint32_t spec;
	uint64_t dev, inode;
};

struct probe_plan {
	struct probe_row *rows;
	uint32_t nrows, cap; /* cap: slots that there can be */
	uint32_t slots;	     /* memory is spent on; 0 until that is known */
	struct probe_row *refused;
	uint32_t nrefused;
	struct probe_site *sites;
	uint32_t nsites;
	uint32_t *row_hash, *site_hash; /* index + 1, 0 = free; PLAN_HASH long, open addressing */
	struct probe_spec *specs;
	bool *waits; /* by spec: nothing of what it names is mapped */
	uint32_t nspecs;
	struct plan_seen *seen;
	uint32_t nseen;
	struct probe_file files[PLAN_MAX_FILES];
	char *hints; /* lines for the reader of the list; NULL when there are none */
	uint32_t nfiles;
	struct calibration costs;
	struct place_options opt;
};

/* One spec being resolved. */
struct plan_work {
	struct probe_plan *plan;
	struct probe_spec *spec;
	struct symbols *syms;
	pid_t pid;	/* whose they are; 0 = not known */
	uint32_t index; /* of the spec */
	uint32_t matched, first_row, ifuncs, over;
	char *why;
	size_t why_size;
};

/* Mapped modules that the spec's module part names, each file once. Returns how many. */
uint32_t plan_find_modules(struct plan_work *w, const struct symbols_module **out, uint32_t max);
/* "a, b, c": file names of what is mapped. */
void plan_list_modules(struct plan_work *w, char *buf, size_t size);

/* Add what the spec names in one module. 0 or -errno with a sentence in w->why. */
int plan_match_functions(struct plan_work *w, const struct symbols_module *m);
int plan_match_markers(struct plan_work *w, const struct symbols_module *m);

/* Match the spec against those of the files that it was not matched against before. */
int plan_match_new(struct plan_work *w, const struct symbols_module *const *mods, uint32_t n);

/* vaddr of the code that a resolver chose, if some slot of the target holds it already. */
bool plan_resolve_ifunc(struct plan_work *w, const struct symbols_module *m, uint64_t resolver,
			const char *name, uint64_t *vaddr);

/* Nearest name to an exact one that was not found, or "". */
void plan_suggest(struct plan_work *w, const struct symbols_module *const *mods, uint32_t n,
		  char *buf, size_t size);

/* Where is a function inlined? Into buf as a sentence; false when it is nowhere. */
bool plan_find_inlined(struct plan_work *w, const struct symbols_module *const *mods, uint32_t n,
		       char *buf, size_t size);

/* Can an exception of C++ or a panic of Rust unwind through the functions of m? */
bool plan_unwinds(const struct symbols_module *m);
/* Why a return probe would break it, as of one that returns twice: a row's note; else NULL. */
const char *plan_returns_oddly(const char *name);
/* Why it may not be called from another place than its caller, or NULL: see calls_stubs.h. */
const char *plan_untimed(const struct elf_function *fns, uint32_t n, uint32_t i);

/* Say where symbols of a stripped file come from, once a file. */
/* Does it have no symbols but exported ones? */
bool plan_is_stripped(const struct symbols_module *m);
void plan_hint_stripped(struct probe_plan *p, const struct symbols_module *m);

/* The same file, however it is mapped. 0 or -errno. */
int plan_identify(const struct symbols_module *m, uint64_t *dev, uint64_t *inode);

/* Index of the file of m in the plan, -ENOSPC when there are too many. */
int plan_add_file(struct plan_work *w, const struct symbols_module *m);
/* The spec's row of that name and module, or a new one; NULL when over the cap. */
struct probe_row *plan_add_row(struct plan_work *w, const char *name,
			       const struct symbols_module *m, uint32_t source);
int plan_add_site(struct probe_plan *p, const struct probe_site *site);
bool plan_has_site(const struct probe_plan *p, uint32_t file, uint64_t offset);
void plan_add_refused(struct plan_work *w, const char *name, const struct symbols_module *m,
		      const struct place *place, double cost_ns, const char *note);

#endif
