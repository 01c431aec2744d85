/* SPDX-License-Identifier: Apache-2.0 */
/* wakers.c: who woke a thread is told by a hook on each wake-up, which busy targets are spared. */
#include "collectors/wakers.h"

#include "collectors/bpf.h"
#include "collectors/sched_window.h"
#include "collectors/session.h"
#include "perftop.skel.h"

/* From this many switches a second on, some 0.2 % of a CPU, in one interval of so many. */
#define WAKERS_MANY 2000
enum { WAKERS_TURN = 8 };

bool wakers_wanted(struct wakers *w, double switches_per_s)
{
	bool turn = w->ticks++ % WAKERS_TURN == 0;

	return w->kept || turn || switches_per_s < WAKERS_MANY;
}

void wakers_see(struct wakers *w, double switches_per_s, struct sched_window *window, struct bpf *b)
{
	bool wanted = wakers_wanted(w, switches_per_s);
	char why[SNAP_TEXT];

	if (wanted == w->seen)
		return;
	if (!wanted) {
		sched_window_drop(window, WAKERS_PROGRAM);
		if (window->weight == 1)
			bpf_detach_tp(b, WAKERS_PROGRAM);
	} else if (window->weight > 1) {
		sched_window_add(window, WAKERS_PROGRAM);
	} else if (sched_window_attach(window, b, WAKERS_PROGRAM, why, sizeof(why))) {
		return;
	}
	w->seen = wanted;
	/* What was told of a thread before may be of an older wait. */
	window->skel->bss->waker_era++;
}
