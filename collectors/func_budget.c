/* SPDX-License-Identifier: Apache-2.0 */
/* func_budget.c: exact where that is affordable, windows where it is not, else nothing. */
#include "collectors/func_budget.h"

#include <stdlib.h>

/* Ns of window tried in turn. A shorter one is blurred by attaching itself. */
static const uint64_t windows_ns[] = {50000000, 20000000, 5000000};
enum { NWINDOWS = sizeof(windows_ns) / sizeof(windows_ns[0]) };

/* Of the budget: what exact probes may take, to leave some for windows; and to be exact again. */
static const double exact_share = 0.8, calm_share = 0.4;
enum { CALM_ENOUGH = 4 };

double func_budget_total(const struct func_load *loads, uint32_t n, double duty)
{
	double ns = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (loads[i].state == FUNC_EXACT)
			ns += loads[i].ns_per_s;
		else if (loads[i].state == FUNC_SEEN)
			ns += loads[i].ns_per_s * duty;
	}
	return ns;
}

static int compare_load(const void *a, const void *b, void *arg)
{
	const struct func_load *loads = arg;
	double x = loads[*(const uint32_t *)a].ns_per_s, y = loads[*(const uint32_t *)b].ns_per_s;

	return x > y ? -1 : x < y;
}

static double duty_of(uint64_t window_ns, double every_ns)
{
	double duty = every_ns > 0 ? (double)window_ns / every_ns : 1;

	return duty < 1 ? duty : 1;
}

/* The longest window that fits; the shortest when none does. */
static bool fit_window(const struct func_load *loads, uint32_t n, double budget_ns, double every_ns,
		       uint64_t *window_ns)
{
	for (int w = 0; w < NWINDOWS; w++) {
		*window_ns = windows_ns[w];
		if (func_budget_total(loads, n, duty_of(*window_ns, every_ns)) <= budget_ns)
			return true;
	}
	return false;
}

/* Cold for a while: exact again, coldest first. */
static bool relax(struct func_load *loads, const uint32_t *order, uint32_t n, double budget_ns)
{
	double exact = func_budget_total(loads, n, 0);
	bool changed = false;

	for (uint32_t k = n; k-- > 0;) {
		struct func_load *l = &loads[order[k]];

		if (l->state != FUNC_SEEN)
			continue;
		if (exact + l->ns_per_s > budget_ns * calm_share) {
			l->calm = 0;
			continue;
		}
		exact += l->ns_per_s;
		if (++l->calm < CALM_ENOUGH)
			continue;
		l->state = FUNC_EXACT;
		l->calm = 0;
		changed = true;
	}
	return changed;
}

bool func_budget_fit(struct func_load *loads, uint32_t n, double budget_ns, double every_ns,
		     uint64_t *window_ns, uint32_t *order)
{
	double exact = func_budget_total(loads, n, 0);
	bool changed = false;
	uint32_t k;

	for (k = 0; k < n; k++)
		order[k] = k;
	qsort_r(order, n, sizeof(*order), compare_load, loads);
	if (exact > budget_ns) {
		for (k = 0; k < n && exact > budget_ns * exact_share; k++) {
			struct func_load *l = &loads[order[k]];

			if (l->state != FUNC_EXACT)
				continue;
			l->state = FUNC_SEEN;
			l->calm = 0;
			exact -= l->ns_per_s;
			changed = true;
		}
	} else {
		changed = relax(loads, order, n, budget_ns);
	}
	for (k = 0; k < n && !fit_window(loads, n, budget_ns, every_ns, window_ns); k++) {
		struct func_load *l = &loads[order[k]];

		if (l->state != FUNC_SEEN)
			continue;
		l->state = FUNC_DETACHED;
		changed = true;
	}
	return changed;
}
