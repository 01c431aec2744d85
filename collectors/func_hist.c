/* SPDX-License-Identifier: Apache-2.0 */
/* func_hist.c: full histograms, or totals and compact ones, to one sum. */
#include "collectors/func_hist.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "collectors/bpf.h"
#include "perftop.skel.h"

/* Memory that histograms may take in the kernel. */
#define FUNC_HIST_BYTES (64u << 20)

uint32_t func_hists_copies(uint32_t slots, uint32_t ncpu)
{
	size_t fit;

	if (slots <= CONTRACT_FUNC_FULL &&
	    (size_t)slots * ncpu * sizeof(struct contract_hist) <= FUNC_HIST_BYTES)
		return 0;
	fit = FUNC_HIST_BYTES / sizeof(struct contract_compact) / slots;
	if (fit > ncpu)
		fit = ncpu;
	return fit ? (uint32_t)fit : 1;
}

int func_hists_map(struct func_hists *h, struct bpf *b, uint32_t slots, uint32_t copies)
{
	struct perftop_bpf *skel = bpf_skeleton(b);
	size_t n = (size_t)slots * copies;

	memset(h, 0, sizeof(*h));
	h->slots = slots;
	h->ncpu = bpf_ncpu(b);
	h->copies = copies;
	if (!copies) {
		h->full = bpf_map_array(b, bpf_map__fd(skel->maps.func_hist), sizeof(*h->full),
					(size_t)slots * h->ncpu, false);
		return h->full ? 0 : -ENOMEM;
	}
	h->totals =
		bpf_map_array(b, bpf_map__fd(skel->maps.func_totals), sizeof(*h->totals), n, true);
	h->bins = bpf_map_array(b, bpf_map__fd(skel->maps.func_compact), sizeof(*h->bins), n, true);
	return h->totals && h->bins ? 0 : -ENOMEM;
}

uint64_t func_hists_calls(const struct func_hists *h, uint32_t slot)
{
	uint64_t calls = 0;

	for (uint32_t i = 0; !h->copies && i < h->ncpu; i++)
		calls += __atomic_load_n(&h->full[(size_t)slot * h->ncpu + i].calls,
					 __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < h->copies; i++)
		calls += __atomic_load_n(&h->totals[(size_t)slot * h->copies + i].calls,
					 __ATOMIC_RELAXED);
	return calls;
}

/* The full bucket in the middle of a compact one. */
static uint32_t full_bucket(uint32_t compact)
{
	return (compact << CONTRACT_COMPACT_BITS) + (1u << CONTRACT_COMPACT_BITS) / 2;
}

static void add_compact(struct latency_sum *sum, const struct contract_total *t,
			const struct contract_compact *c)
{
	uint64_t count = __atomic_load_n(&t->count, __ATOMIC_ACQUIRE);
	uint64_t max = __atomic_load_n(&t->max, __ATOMIC_RELAXED);
	uint32_t n = count ? (bucket_index(max) >> CONTRACT_COMPACT_BITS) + 1 : 0;

	sum->calls += __atomic_load_n(&t->calls, __ATOMIC_RELAXED);
	sum->sum += __atomic_load_n(&t->sum, __ATOMIC_RELAXED);
	if (max > sum->max)
		sum->max = max;
	if (n && full_bucket(n - 1) + 1 > sum->nbins)
		sum->nbins = full_bucket(n - 1) + 1;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t in = __atomic_load_n(&c->bins[i], __ATOMIC_RELAXED);

		sum->bins[full_bucket(i)] += in;
		sum->count += in;
	}
}

void func_hists_sum(const struct func_hists *h, uint32_t slot, struct latency_sum *sum)
{
	if (!h->copies) {
		latency_sum_cpus(sum, h->full + (size_t)slot * h->ncpu, h->ncpu, sizeof(*h->full));
		return;
	}
	memset(sum, 0, sizeof(*sum));
	for (uint32_t i = 0; i < h->copies; i++) {
		size_t at = (size_t)slot * h->copies + i;

		add_compact(sum, &h->totals[at], &h->bins[at]);
	}
}

void func_hists_clear(const struct func_hists *h)
{
	size_t n = (size_t)h->slots * h->copies;

	if (!n)
		return;
	memset(h->totals, 0, n * sizeof(*h->totals));
	memset(h->bins, 0, n * sizeof(*h->bins));
}
