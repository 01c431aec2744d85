/* SPDX-License-Identifier: Apache-2.0 */
/* probe_suggest.c: the name that was meant, when the one given is not there. */
#include <stdio.h>
#include <string.h>

#include "collectors/probe_plan_priv.h"

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
