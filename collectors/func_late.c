/* SPDX-License-Identifier: Apache-2.0 */
/* func_late.c: probes go on libraries as the target loads them, and off with them. */
#include <stdio.h>
#include <string.h>

#include "collectors/func_priv.h"
#include "collectors/symbols.h"

void func_late_look(struct func *f, struct session *se)
{
	struct symbols *syms = session_symbols(se);
	char why[SNAP_TEXT], names[64];
	uint32_t from, before = f->nrows, sites;

	if (!syms)
		return;
	/* Who loads late also unloads: see that soon, too. */
	f->watchful |= probe_plan_waiting(f->plan, names, sizeof(names)) > 0;
	if (f->watchful) {
		symbols_expect(syms);
		symbols_refresh(syms);
	}
	if (symbols_generation(syms) == f->generation)
		return;
	f->generation = symbols_generation(syms);
	from = probe_plan_extend(f->plan, syms, why, sizeof(why));
	f->nrows = probe_plan_rows(f->plan);
	probe_plan_sites(f->plan, &sites);
	func_rows_price(f, before);
	if (sites != from && func_attach_sites(f->attach, from, why, sizeof(why)))
		session_event(se, "%.200s", why);
	else if (sites != from)
		session_event(se, "%u more function%s probed, in what was loaded just now",
			      f->nrows - before, f->nrows - before == 1 ? "" : "s");
	if (why[0] && strcmp(why, f->late_trouble) != 0)
		session_event(se, "%.250s", why);
	snprintf(f->late_trouble, sizeof(f->late_trouble), "%s", why);
	func_say(se, f);
}
