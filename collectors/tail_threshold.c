/* SPDX-License-Identifier: Apache-2.0 */
/* tail_threshold.c: from when on a call counts as slow. */
#include "collectors/session.h"
#include "collectors/tail_priv.h"

uint64_t tail_threshold_of(const struct latency_sum *sum)
{
	uint64_t above = 0;

	if (sum->count < TAIL_LEAST_CALLS)
		return TAIL_FIRST_NS;
	for (uint32_t i = sum->nbins; i-- > 0;) {
		above += sum->bins[i];
		if (above * 100 > sum->count)
			return bucket_low(i) + bucket_width(i) - 1;
	}
	return TAIL_FIRST_NS;
}

static void set(struct tail *t, uint32_t slot, uint64_t ns)
{
	__atomic_store_n(&t->slots[slot].threshold_ns, ns, __ATOMIC_RELAXED);
}

void tail_threshold_init(struct tail *t)
{
	uint64_t fixed = session_config(t->se)->slower_ns;

	for (uint32_t i = 0; i + 1 < t->nslots; i++)
		set(t, i, fixed ? fixed : TAIL_FIRST_NS);
}

void tail_threshold_update(struct tail *t)
{
	uint32_t n = probe_plan_rows(t->plan), looks = n < TAIL_LOOKS ? n : TAIL_LOOKS;

	if (session_config(t->se)->slower_ns)
		return;
	for (; looks; looks--) {
		uint32_t slot = t->next_look++ % n;

		if (!func_hists_calls(&t->hists, slot))
			continue;
		func_hists_sum(&t->hists, slot, &t->sum);
		set(t, slot, tail_threshold_of(&t->sum));
	}
}
