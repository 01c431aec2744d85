/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h: bottleneck rules: they read a snapshot and raise alerts in it. */
#ifndef PERFTOP_RULES_H
#define PERFTOP_RULES_H

#include "collectors/snapshot.h"

/*
 * A rule is one file and one row of rules.def. It looks at one snapshot and, when its condition
 * holds, fills subject, value, threshold, severity, evidence and advice, and returns true. The
 * engine below keeps the time since which it holds and asks for it on several ticks before
 * raising, and for its absence on several before clearing, so that alerts do not flicker.
 */
struct rule {
	const char *name, *help;
	bool (*check)(const struct snapshot *s, struct snap_alert *a);
};

struct rules;
struct rules *rules_new(void);
void rules_free(struct rules *r);
void rules_run(struct rules *r, struct snapshot *s);

#define X(name, help) bool rule_##name##_check(const struct snapshot *s, struct snap_alert *a);
#include "collectors/rules.def"
#undef X

extern const struct rule rules_table[];
extern const uint32_t nrules;

#endif
