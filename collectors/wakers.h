/* SPDX-License-Identifier: Apache-2.0 */
/* wakers.h: who woke a thread is told by a hook on each wake-up, which busy targets are spared. */
#ifndef PERFTOP_WAKERS_H
#define PERFTOP_WAKERS_H

#include <stdbool.h>
#include <stdint.h>

struct bpf;
struct perftop_bpf;
struct sched_window;

#define WAKERS_PROGRAM "on_sched_waking"

/*
 * A stack of waits shows the waker of most of them: some are enough to tell. So with many switches
 * a second they are looked at in some ticks only. A stack whose wakers were never seen has none.
 */
struct wakers {
	bool kept; /* the hook tells more than that: it stays */
	bool seen; /* it is attached, or will be in the next window */
	uint32_t ticks;
};

/* For the next interval, at this many switches of the target a second. */
bool wakers_wanted(struct wakers *w, double switches_per_s);

/* After a tick: attach it for the next interval or take it off, at once or with the windows. */
void wakers_see(struct wakers *w, double switches_per_s, struct sched_window *window,
		struct bpf *b);

#endif
