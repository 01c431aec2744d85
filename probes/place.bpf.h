/* SPDX-License-Identifier: Apache-2.0 */
/* place.bpf.h: state that lies where the address of whose it is leads to. */
#ifndef PERFTOP_PLACE_BPF_H
#define PERFTOP_PLACE_BPF_H

/*
 * In an array of 1 << bits entries that begin with their owner's address as a u64, 0 = free; owners
 * lie 1 << shift bytes or more apart. It costs no helper call, as task storage does. take: a free
 * place is its own from now on, and stays with that address. NULL: it has none.
 */
static __always_inline void *place_find(void *places, u32 bits, u64 owner, u32 shift, bool take)
{
	/* Only half of a pointer is a number to the verifier. */
	u32 first = ((u32)owner >> shift) * 2654435761u >> (32 - bits);

	for (u32 i = 0; i < 2; i++) {
		u32 key = first ^ i;
		u64 *at = bpf_map_lookup_elem(places, &key), seen;

		if (!at || *at == owner)
			return at;
		if (!take || *at)
			continue;
		seen = __sync_val_compare_and_swap(at, 0, owner);
		if (!seen || seen == owner)
			return at;
	}
	return 0;
}

#endif
