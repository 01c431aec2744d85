/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_futex.c: see verdict_futex.h. */
#include "tui/verdict_futex.h"

#include <stdio.h>
#include <string.h>

#include "collectors/lock_name.h"
#include "tui/format.h"

/* A futex that is no mutex is worth naming when half a thread waits on it, again and again. */
#define FUTEX_PCT  50.0
#define FUTEX_RATE 5.0

const struct snap_lock *verdict_futex(const struct snapshot *s)
{
	const struct snap_lock *top = NULL;

	for (uint32_t i = 0; i < s->nlocks; i++) {
		const struct snap_lock *l = &s->locks[i];

		if (!l->is_mutex && l->pct >= FUTEX_PCT &&
		    (double)l->waits * 1e9 >= FUTEX_RATE * (double)s->since_ns &&
		    (!top || l->pct > top->pct))
			top = l;
	}
	return top;
}

void verdict_futex_words(const struct snapshot *s, const struct snap_lock *l, char *out,
			 size_t size)
{
	char n[FORMAT_SIZE], plain[SNAP_NAME];

	format_rate(n, s->since_ns ? (double)l->waits * 1e9 / (double)s->since_ns : 0);
	/* What goroutines wait for is known to Go's own runtime alone. */
	if (!strcmp(l->kind, "go park")) {
		snprintf(
			out, size,
			"%.1f of Go's threads are parked, %s: goroutines wait for channels, locks, "
			"timers or the network; Go's block profile tells where",
			l->pct / 100, n);
		return;
	}
	lock_name_plain(l, plain, sizeof(plain));
	snprintf(out, size, "%.1f threads wait on %s%s%.60s%s%.60s, %s: %sidle workers",
		 l->pct / 100, l->kind[0] ? l->kind : "futex", plain[0] ? " " : "", plain,
		 l->site[0] ? " in " : "", l->site, n,
		 strcmp(l->kind, "condvar") ? "a semaphore used as a lock, or "
					    : "who waits for a signal, or ");
}
