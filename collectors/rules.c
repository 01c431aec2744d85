/* SPDX-License-Identifier: Apache-2.0 */
/* rules.c: run the bottleneck rules over each snapshot, with hysteresis. */
#include "collectors/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RULES_RAISE_AFTER = 2, /* ticks in a row that the condition must hold */
	RULES_CLEAR_AFTER = 3, /* ticks in a row that it must not */
};

const struct rule rules_table[] = {
#define X(name, help) {#name, help, rule_##name##_check},
#include "collectors/rules.def"
#undef X
};
const uint32_t nrules = sizeof(rules_table) / sizeof(rules_table[0]);

struct rule_state {
	uint32_t held, missed;
	bool raised;
	struct snap_alert alert; /* as last seen */
};

struct rules {
	struct rule_state states[sizeof(rules_table) / sizeof(rules_table[0])];
};

struct rules *rules_new(void)
{
	return calloc(1, sizeof(struct rules));
}

void rules_free(struct rules *r)
{
	free(r);
}

static void keep(struct rule_state *st, const struct snap_alert *now, uint64_t time_ns)
{
	uint64_t since = st->raised ? st->alert.since_ns : time_ns;

	st->alert = *now;
	st->alert.since_ns = since;
}

/* The gravest first; of those as grave the one whose rule comes first. */
static void add(struct snapshot *s, const struct snap_alert *a)
{
	uint32_t at = s->nalerts;

	if (at == SNAP_ALERTS)
		return;
	for (; at && s->alerts[at - 1].severity < a->severity; at--)
		s->alerts[at] = s->alerts[at - 1];
	s->alerts[at] = *a;
	s->nalerts++;
}

void rules_run(struct rules *r, struct snapshot *s)
{
	for (uint32_t i = 0; i < nrules; i++) {
		struct rule_state *st = &r->states[i];
		struct snap_alert now;

		memset(&now, 0, sizeof(now));
		snprintf(now.id, sizeof(now.id), "%s", rules_table[i].name);
		snprintf(now.rule, sizeof(now.rule), "%s", rules_table[i].name);
		if (!s->finished && rules_table[i].check(s, &now)) {
			st->held++;
			st->missed = 0;
			keep(st, &now, s->time_ns);
			st->raised |= st->held >= RULES_RAISE_AFTER;
		} else {
			st->held = 0;
			/* What was raised when the target ended stays on its last screen. */
			st->missed += !s->finished;
			st->raised &= st->missed < RULES_CLEAR_AFTER;
		}
		if (st->raised)
			add(s, &st->alert);
	}
}
