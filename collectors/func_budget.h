/* SPDX-License-Identifier: Apache-2.0 */
/* func_budget.h: which probes the target can afford, and how much of the time. */
#ifndef PERFTOP_FUNC_BUDGET_H
#define PERFTOP_FUNC_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A user probe costs its trap for as long as it is attached, whatever its program does. So a hot
 * one is attached for a short window each second, and one that is too hot for that not at all.
 */
enum func_state { FUNC_EXACT, FUNC_SEEN, FUNC_DETACHED };

struct func_load {
	double ns_per_s;       /* that it would take if it were attached throughout */
	enum func_state state; /* in: now; out: as it should be */
	uint8_t calm;	       /* decisions in a row in which it could have been exact; kept here */
};

#define FUNC_WINDOW_EVERY_NS 1000000000ull

/*
 * Bring the loads, whose total may be over the budget (ns a second), under it: hottest first, and
 * the colder ones stay exact. What got cold is exact again after a few calls in a row. *window_ns
 * gets the length of the windows, of every_ns between them. `order` is scratch for n. Returns
 * whether a state changed.
 */
bool func_budget_fit(struct func_load *loads, uint32_t n, double budget_ns, double every_ns,
		     uint64_t *window_ns, uint32_t *order);

/* Ns a second that they take as they are. */
double func_budget_total(const struct func_load *loads, uint32_t n, double duty);

#endif
