/* SPDX-License-Identifier: Apache-2.0 */
/* sched_window.c: context switches that are too many for the budget are seen in windows. */
#include "collectors/sched_window.h"

#include <errno.h>
#include <math.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "perftop.skel.h"

enum {
	WEIGHT_MAX = 25, /* shorter windows would be made of attaching and detaching */
	OVER_TICKS = 3,	 /* a burst is none of it */
};
/* The windows aim at this part of the budget, and end when all could be seen for CALM of it. */
#define AIM  0.9
#define CALM 0.75

int sched_window_init(struct sched_window *w, struct perftop_bpf *skel)
{
	w->skel = skel;
	w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return w->timer_fd < 0 ? -errno : 0;
}

void sched_window_fini(struct sched_window *w)
{
	if (w->timer_fd >= 0)
		close(w->timer_fd);
	w->timer_fd = -1;
}

void sched_window_add(struct sched_window *w, const char *program)
{
	w->programs[w->nprograms++] = program;
}

void sched_window_weigh(struct sched_window *w, double switches_per_s, double ns_each,
			double allowance_ns_per_s)
{
	double all_ns = switches_per_s * ns_each, weight;

	if (allowance_ns_per_s <= 0 || all_ns <= allowance_ns_per_s * (w->weight > 1 ? CALM : 1)) {
		w->over = 0;
		w->weight = 1;
		return;
	}
	if (++w->over < OVER_TICKS)
		return;
	weight = ceil(all_ns / (AIM * allowance_ns_per_s));
	w->weight = weight < 2 ? 2 : weight > WEIGHT_MAX ? WEIGHT_MAX : (uint32_t)weight;
}

int sched_window_open(struct sched_window *w, struct bpf *b, uint64_t interval_ns, char *why,
		      size_t why_size)
{
	struct itimerspec in = {.it_value.tv_nsec = 0};
	uint64_t ns = interval_ns / w->weight;
	int err = 0;

	w->opened_ns = clock_mono_ns();
	w->skel->bss->attach_ns = w->opened_ns;
	w->skel->data->sched_weight = w->weight;
	w->skel->bss->sched_window++;
	for (uint32_t i = 0; !err && i < w->nprograms; i++)
		err = bpf_attach_tp(b, w->programs[i], why, why_size);
	if (err)
		return err;
	w->open = w->weight > 1;
	in.it_value.tv_sec = (time_t)(ns / 1000000000u);
	in.it_value.tv_nsec = (long)(ns % 1000000000u);
	if (w->open)
		timerfd_settime(w->timer_fd, 0, &in, NULL);
	return 0;
}

void sched_window_close(struct sched_window *w, struct bpf *b)
{
	w->seen_ns = clock_mono_ns() - w->opened_ns;
	for (uint32_t i = 0; i < w->nprograms; i++)
		bpf_detach_tp(b, w->programs[i]);
	w->open = false;
}
