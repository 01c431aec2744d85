/* SPDX-License-Identifier: Apache-2.0 */
/* probe_list.c: a plan as the table of --list-probes. */
#include <errno.h>
#include <stdio.h>

#include "collectors/probe_plan_priv.h"

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
