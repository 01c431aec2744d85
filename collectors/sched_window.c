/* SPDX-License-Identifier: Apache-2.0 */
/* sched_window.c: context switches that are too many for the budget are seen in windows. */
#include "collectors/sched_window.h"

#include <math.h>
#include <string.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "collectors/session.h"
#include "perftop.skel.h"

enum {
	WEIGHT_MAX = 25,
	SHORTEST_MS = 20, /* else a window would be made of attaching and detaching */
	OVER_TICKS = 3,	  /* a burst is none of it, nor is a pause, of the machine say */
	LATE_MOST = 8,	  /* a window is at least this part of what it would be, however late */
};
/* The windows aim at this part of the budget, and end when all could be seen for CALM of it. */
#define AIM  0.9
#define CALM 0.75

void sched_window_add(struct sched_window *w, const char *program)
{
	for (uint32_t i = 0; i < w->nprograms; i++)
		if (!strcmp(w->programs[i], program))
			return;
	if (w->nprograms < SCHED_WINDOW_PROGRAMS)
		w->programs[w->nprograms++] = program;
}

int sched_window_attach(struct sched_window *w, struct bpf *b, const char *program, char *why,
			size_t why_size)
{
	int err = bpf_attach_tp(b, program, why, why_size);

	if (!err)
		sched_window_add(w, program);
	return err;
}

void sched_window_drop(struct sched_window *w, const char *program)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->nprograms; i++)
		if (strcmp(w->programs[i], program) != 0)
			w->programs[n++] = w->programs[i];
	w->nprograms = n;
}

void sched_window_weigh(struct sched_window *w, double switches_per_s, double ns_each,
			double allowance_ns_per_s, uint64_t interval_ns)
{
	double all_ns = switches_per_s * ns_each, weight;
	double most = fmin(WEIGHT_MAX, (double)interval_ns / 1e6 / SHORTEST_MS);

	if (allowance_ns_per_s <= 0 || all_ns <= allowance_ns_per_s * (w->weight > 1 ? CALM : 1)) {
		w->over = 0;
		if (w->weight > 1 && allowance_ns_per_s > 0 && ++w->calm < OVER_TICKS)
			return;
		w->calm = 0;
		w->weight = 1;
		return;
	}
	w->calm = 0;
	if (++w->over < OVER_TICKS && w->weight <= 1)
		return;
	weight = fmin(ceil(all_ns / (AIM * allowance_ns_per_s)), most);
	w->weight = weight < 2 ? 2 : (uint32_t)weight;
}

uint64_t sched_window_length(struct sched_window *w, uint64_t now_ns, uint64_t interval_ns)
{
	int64_t least = (int64_t)interval_ns / LATE_MOST, most = 2 * (int64_t)interval_ns, want;

	if (w->seen_weight > 1)
		w->ahead_ns +=
			(int64_t)(w->seen_ns * w->seen_weight) - (int64_t)(now_ns - w->opened_ns);
	else
		w->ahead_ns = 0;
	want = (int64_t)interval_ns - w->ahead_ns;
	want = want < least ? least : want > most ? most : want;
	return (uint64_t)want / w->weight;
}

static void detach(struct sched_window *w, struct bpf *b)
{
	for (uint32_t i = 0; i < w->nprograms; i++)
		bpf_detach_tp(b, w->programs[i]);
}

/* All, or none. */
static int attach(struct sched_window *w, struct bpf *b, char *why, size_t why_size)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < w->nprograms; i++)
		err = bpf_attach_tp(b, w->programs[i], why, why_size);
	if (err)
		detach(w, b);
	return err;
}

int sched_window_open(struct sched_window *w, struct bpf *b, uint64_t interval_ns, char *why,
		      size_t why_size)
{
	uint64_t ns = sched_window_length(w, clock_mono_ns(), interval_ns);
	int err;

	w->seen_weight = w->weight;
	/* Nothing counts until all are attached, which on a busy machine takes some milliseconds.
	 */
	w->skel->data->sched_weight = 0;
	w->skel->bss->sched_window++;
	w->skel->bss->waker_era++;
	w->skel->bss->attach_ns = clock_mono_ns();
	err = attach(w, b, why, why_size);
	w->opened_ns = clock_mono_ns();
	w->skel->bss->attach_ns = w->opened_ns;
	w->skel->data->sched_weight = w->weight;
	if (err)
		return err;
	w->open = w->weight > 1;
	if (w->open)
		session_timer_set(w->timer_fd, ns, 0);
	return 0;
}

void sched_window_close(struct sched_window *w, struct bpf *b)
{
	w->seen_ns = clock_mono_ns() - w->opened_ns;
	detach(w, b);
	w->open = false;
}
