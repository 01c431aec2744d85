/* SPDX-License-Identifier: Apache-2.0 */
/* func_hist.h: what the programs of func.bpf.h counted, in whichever layout it was asked for. */
#ifndef PERFTOP_FUNC_HIST_H
#define PERFTOP_FUNC_HIST_H

#include <stdbool.h>
#include <stdint.h>

#include "collectors/latency.h"
#include "probes/contract.h"

struct bpf;

/* Mapped from the kernel: valid as long as the struct bpf. */
struct func_hists {
	uint32_t slots, ncpu;
	uint32_t copies;		  /* 0: full histograms */
	const struct contract_hist *full; /* slots * ncpu */
	struct contract_total *totals;	  /* slots * copies */
	struct contract_compact *bins;
};

/* Compact histograms that each of so many slots has: one a CPU or fewer; 0 when they are full. */
uint32_t func_hists_copies(uint32_t slots, uint32_t ncpu);

/* slots and copies as in the struct bpf_request that b was made with. 0 or -ENOMEM. */
int func_hists_map(struct func_hists *h, struct bpf *b, uint32_t slots, uint32_t copies);

/* Calls begun so far: cheap, for every slot and tick. */
uint64_t func_hists_calls(const struct func_hists *h, uint32_t slot);

/* All of it; bins of a compact histogram stand at the middle of what they cover. */
void func_hists_sum(const struct func_hists *h, uint32_t slot, struct latency_sum *sum);

/* Compact histograms begin anew, in the kernel; nothing happens to full ones. */
void func_hists_clear(const struct func_hists *h);

#endif
