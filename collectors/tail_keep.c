/* SPDX-License-Identifier: Apache-2.0 */
/* tail_keep.c: the slow calls that are worth showing, of all that left evidence. */
#include "collectors/tail_keep.h"

#include <string.h>

static uint32_t places_of(const struct tail_keep *k, uint32_t slot)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < k->n; i++)
		n += k->calls[i].of.slot == slot;
	return n;
}

/* The function whose share is the largest; `slot` itself, with the new call, when it is one of
 * them. */
static uint32_t largest_share(const struct tail_keep *k, uint32_t slot)
{
	uint32_t best = slot, most = places_of(k, slot) + 1;

	for (uint32_t i = 0; i < k->n; i++) {
		uint32_t n = places_of(k, k->calls[i].of.slot);

		if (n > most) {
			most = n;
			best = k->calls[i].of.slot;
		}
	}
	return best;
}

static bool is_stale(const struct tail_call *c, uint64_t now_ns)
{
	return now_ns > c->of.end_ns && now_ns - c->of.end_ns > TAIL_FRESH_S * 1000000000ull;
}

/* Stale before fresh, then the shorter before the longer. */
static bool goes_before(const struct tail_call *x, const struct tail_call *y, uint64_t now_ns)
{
	bool sx = is_stale(x, now_ns), sy = is_stale(y, now_ns);

	if (sx != sy)
		return sx;
	return x->of.ns < y->of.ns;
}

struct tail_call *tail_keep_place(struct tail_keep *k, uint32_t slot, uint64_t ns, uint64_t now_ns)
{
	struct tail_call *victim = NULL;
	uint32_t from;

	if (k->n < TAIL_KEPT)
		return &k->calls[k->n++];
	from = largest_share(k, slot);
	for (uint32_t i = 0; i < k->n; i++) {
		struct tail_call *c = &k->calls[i];

		if (c->of.slot != from && !is_stale(c, now_ns))
			continue;
		if (!victim || goes_before(c, victim, now_ns))
			victim = c;
	}
	if (!victim || (from == slot && !is_stale(victim, now_ns) && victim->of.ns >= ns))
		return NULL;
	return victim;
}
