/* SPDX-License-Identifier: Apache-2.0 */
/* probe_list.c: a plan as the table of --list-probes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/elf_image_priv.h"
#include "collectors/probe_plan_priv.h"
#include "probes/calls.h"

enum { LIST_HINT = 512, LIST_HINTS = 8192 };

/* Where distributions put the symbols that they took out, and who would bring them. */
static void write_hint(const struct symbols_module *m, char *buf, size_t size)
{
	uint8_t id[ELF_BUILD_ID_MAX];
	size_t n = elf_image_build_id(m->image, id), at;

	at = (size_t)snprintf(buf, size,
			      "%.80s has no symbols but exported ones. Install its NAME-dbgsym or "
			      "-debuginfo package",
			      m->name);
	if (n > 1 && n <= 32) {
		at += (size_t)snprintf(buf + at, size - at,
				       ", or put what `debuginfod-find debuginfo ");
		for (size_t i = 0; i < n; i++)
			at += (size_t)snprintf(buf + at, size - at, "%02x", id[i]);
		at += (size_t)snprintf(buf + at, size - at,
				       "` fetches at /usr/lib/debug/.build-id/%02x/", id[0]);
		for (size_t i = 1; i < n; i++)
			at += (size_t)snprintf(buf + at, size - at, "%02x", id[i]);
		at += (size_t)snprintf(buf + at, size - at, ".debug");
	}
	snprintf(buf + at, size - at, ".\n");
}

/* One with names of its own, or of a debug file, has them all. */
bool plan_is_stripped(const struct symbols_module *m)
{
	return m->image && !elf_image_section_of_type(m->image, SHT_SYMTAB) &&
	       (elf_image_stripped(m->image) || !m->image->other);
}

void plan_hint_stripped(struct probe_plan *p, const struct symbols_module *m)
{
	size_t have = p->hints ? strlen(p->hints) : 0;
	char line[LIST_HINT], *more;

	if (!plan_is_stripped(m))
		return;
	write_hint(m, line, sizeof(line));
	if ((p->hints && strstr(p->hints, line)) || have + strlen(line) > LIST_HINTS)
		return;
	more = realloc(p->hints, have + strlen(line) + 1);
	if (!more)
		return;
	strcpy(more + have, line);
	p->hints = more;
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

void probe_plan_list(const struct probe_plan *p, FILE *out)
{
	char names[96];

	fprintf(out, "%9s  %-8s %-16s %-20s %-32s %s\n", "NS/CALL", "MEASURE", "PLACE", "FILE",
		"NAME", "WHY");
	for (uint32_t i = 0; i < p->nrows + p->nrefused; i++) {
		const struct probe_row *r = probe_plan_row(p, i);
		char place[48], cost[16] = "?";

		if (p->opt.in_process)
			snprintf(place, sizeof(place), "in process");
		else
			snprintf(place, sizeof(place), "+%u %s", r->place.delta,
				 r->place.insn == INSN_OTHER ? "stepped"
							     : insn_kind_name(r->place.insn));
		if (r->cost_ns > 0)
			snprintf(cost, sizeof(cost), "%.0f", r->cost_ns);
		fprintf(out, "%9s  %-8s %-16s %-20s %-32s %s", cost, measure_name(r->how), place,
			r->module, r->name, r->note[0] ? r->note : r->place.reason);
		if (r->nsites > 1)
			fprintf(out, " (%u places)", r->nsites);
		fputc('\n', out);
	}
	if (p->opt.in_process)
		fprintf(out,
			"The library maps %.0f MiB in the process: a page or two for each function "
			"and "
			"thread that calls it take memory, the rest is address space.\n",
			(double)CALLS_SEGMENT_BYTES / (1 << 20));
	if (probe_plan_waiting(p, names, sizeof(names)))
		fprintf(out, "Not loaded yet, probed when it is: %s\n", names);
	if (p->hints)
		fputs(p->hints, out);
}
