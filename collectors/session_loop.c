/* SPDX-License-Identifier: Apache-2.0 */
/* session_loop.c: the session's thread: waiting, and the beat of ticks or of a replay. */
#include "collectors/session_priv.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/replay.h"

/* The shortest last interval, where a quarter of a usual one is not shorter yet. */
#define LAST_TICK_NS 20000000u

void session_wait_until(struct session *se, uint64_t until_ns)
{
	for (;;) {
		struct pollfd fds[SESSION_MAX_WATCHES + 2];
		uint64_t now = clock_mono_ns(), left;
		uint32_t n = 0;
		struct timespec timeout;

		if (now >= until_ns || se->want_quit)
			return;
		left = until_ns - now;
		timeout.tv_sec = (time_t)(left / 1000000000u);
		timeout.tv_nsec = (long)(left % 1000000000u);
		fds[n++] = (struct pollfd){.fd = se->command_fd, .events = POLLIN};
		fds[n++] = (struct pollfd){.fd = se->target.pidfd, .events = POLLIN};
		for (uint32_t i = 0; i < se->nwatches; i++)
			fds[n++] = (struct pollfd){.fd = se->watches[i].fd, .events = POLLIN};
		if (ppoll(fds, n, &timeout, NULL) <= 0)
			continue;
		if (fds[0].revents) {
			uint64_t drain;

			if (read(se->command_fd, &drain, sizeof(drain)) < 0)
				return;
			return;
		}
		if (fds[1].revents)
			return;
		for (uint32_t i = n; i-- > 2;)
			if (fds[i].revents && i - 2 < se->nwatches)
				se->watches[i - 2].fn(se, se->watches[i - 2].priv);
	}
}

static uint64_t interval(struct session *se)
{
	return atomic_load(&se->want_interval_ns);
}

void session_let_pass(uint64_t until_ns)
{
	uint64_t now = clock_mono_ns();

	if (until_ns > now && until_ns - now < 1000000000u) {
		struct timespec t = {0, (long)(until_ns - now)};

		nanosleep(&t, NULL);
	}
}

static void live_loop(struct session *se)
{
	uint64_t next;

	session_attach(se);
	next = se->cfg.first_tick_soon && interval(se) > SESSION_FIRST_TICK_NS
		       ? session_ready_ns(se)
		       : se->started_ns + interval(se);
	while (!se->want_quit && !se->finished) {
		uint64_t step;

		session_wait_until(se, next);
		if (se->want_quit)
			break;
		if (atomic_load(&se->want_stop)) {
			se->finished = true;
			/* Asked for at any time: rates of microseconds would be noise. */
			session_let_pass(se->last_ns + (interval(se) / 4 < LAST_TICK_NS
								? interval(se) / 4
								: LAST_TICK_NS));
		}
		session_tick(se);
		/*
		 * Keep the beat; after a long stop or a change, begin a new one. So too where an
		 * attach to a new program has moved the tick: rates of what is left would be noise.
		 */
		step = interval(se);
		next = se->seq == 1 ? se->reset_ns + step : next + step;
		if (next <= clock_mono_ns() || next > clock_mono_ns() + step ||
		    next < se->last_ns + step / 2)
			next = clock_mono_ns() + step;
	}
}

static void replay_loop(struct session *se)
{
	uint64_t previous_ns = 0;

	while (!se->want_quit) {
		struct snapshot *s = mailbox_slot(&se->box);
		int more;

		snapshot_clear(s);
		more = replay_next(se->replay, s);
		if (more <= 0) {
			/* Show the last tick again, marked as the end. */
			if (!se->seq || replay_seek(se->replay, (uint32_t)se->seq - 1) ||
			    replay_next(se->replay, s) <= 0)
				break;
			s->finished = 1;
			snapshot_string(s->target.note, SNAP_TEXT,
					more < 0 ? "the recording is damaged here"
						 : "end of the recording");
		} else {
			se->seq++;
		}
		s->replaying = 1;
		if (previous_ns && s->mono_ns > previous_ns && se->cfg.replay_speed > 0 && more > 0)
			session_wait_until(se, clock_mono_ns() + (uint64_t)((double)(s->mono_ns -
										     previous_ns) /
									    se->cfg.replay_speed));
		previous_ns = s->mono_ns;
		session_publish(se);
		if (more <= 0)
			break;
	}
}

void *session_main(void *arg)
{
	struct session *se = arg;

	pthread_setname_np(pthread_self(), "perftop-session");
	if (se->replay)
		replay_loop(se);
	else
		live_loop(se);
	session_detach(se);
	return NULL;
}
