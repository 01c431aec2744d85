/* SPDX-License-Identifier: Apache-2.0 */
/* published.c: which of several copies readers use. */
#include "kernels/loops/published.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/ordered.h"

void published_init(struct published *p, struct published_reader *readers, uint32_t nreaders,
		    uint32_t ncopies)
{
	memset(p, 0, sizeof(*p));
	memset(readers, 0, nreaders * sizeof(*readers));
	p->readers = readers;
	p->nreaders = nreaders;
	p->ncopies = ncopies;
}

uint32_t published_acquire(struct published *p, uint32_t reader)
{
	uint64_t at = ordered_load_64(&p->current), again;

	for (;;) {
		ordered_store_64(&p->readers[reader].announced, at + 1);
		/* Either the writer sees the announcement, or this load sees its new copy. */
		ordered_store_then_load();
		again = ordered_load_64(&p->current);
		if (again == at)
			return (uint32_t)at;
		at = again;
	}
}

void published_release(struct published *p, uint32_t reader)
{
	ordered_store_64(&p->readers[reader].announced, 0);
}

int published_begin(struct published *p)
{
	const uint64_t current = p->current;

	for (uint32_t i = 0; i < p->ncopies; i++) {
		bool busy = i == current;

		for (uint32_t r = 0; r < p->nreaders && !busy; r++)
			busy = ordered_load_64(&p->readers[r].announced) == i + 1u;
		if (busy)
			continue;
		p->writing = i;
		return (int)i;
	}
	return -EBUSY;
}

void published_publish(struct published *p)
{
	ordered_store_64(&p->current, p->writing);
	/* Pairs with acquire: announcements are looked at only after the new copy is visible. */
	ordered_store_then_load();
}
