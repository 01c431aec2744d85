/* SPDX-License-Identifier: Apache-2.0 */
/* thread_rows.c: each thread's share of time on a CPU, in the run queue and blocked. */
#include "collectors/thread_rows.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "collectors/snapshot.h"
#include "collectors/threads.h"

static double pct(uint64_t ns, uint64_t of_ns)
{
	return of_ns ? 100.0 * (double)ns / (double)of_ns : 0;
}

/* Difference of two readings of a clock that only goes forward, but was read apart. */
static uint64_t since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static char state_letter(uint32_t state)
{
	if (state & 0x30)
		return 'Z';
	if (!state)
		return 'R';
	return state & 2 ? 'D' : state & 0xc ? 'T' : 'S';
}

/* Ns of a thread's life until a reading: on a CPU as the scheduler knows it, queued, blocked. */
struct thread_time {
	uint64_t run, queued, blocked;
	bool running; /* run lags by up to a clock tick */
};

static struct thread_time time_of(const struct contract_thread *row)
{
	struct thread_time t = {.running = !row->state && !row->off_ns};
	uint64_t blocked, queued;

	threads_present_wait(row, &blocked, &queued);
	t.run = row->run_ns;
	t.queued = row->run_delay_ns + queued;
	t.blocked = row->blocked_ns + blocked;
	return t;
}

static void fill_shares(const struct thread_time *now, const struct thread_time *before,
			uint64_t wall_ns, bool known_waits, struct snap_thread *out)
{
	out->cpu_pct = pct(since(now->run, before->run), wall_ns);
	out->runq_pct = pct(since(now->queued, before->queued), wall_ns);
	if (!known_waits) {
		out->blocked_pct = 100 - out->cpu_pct - out->runq_pct;
	} else {
		out->blocked_pct = pct(since(now->blocked, before->blocked), wall_ns);
		/* Neither blocked nor queued: it runs, told without the lag. */
		if (now->running || before->running)
			out->cpu_pct = 100 - out->blocked_pct - out->runq_pct;
	}
	if (out->blocked_pct < 0)
		out->blocked_pct = 0;
	if (out->cpu_pct < 0)
		out->cpu_pct = 0;
}

static void fill_thread(const struct threads *t, const struct contract_thread *now,
			const struct contract_thread *before, bool known_waits,
			struct snap_thread *out)
{
	uint64_t wall_ns = t->now_ns - t->before_ns;
	struct thread_time n = time_of(now), b = {0};

	out->tid = (int32_t)now->tid;
	snapshot_string(out->comm, sizeof(out->comm), now->comm);
	out->state = state_letter(now->state);
	if (out->state == 'Z')
		return;
	out->turn_ns = now->turn_ns;
	out->turn_cpu_ns = now->turn_cpu_ns;
	/* A thread that is new began in this interval: its whole life counts. */
	if (before) {
		b = time_of(before);
		wall_ns = since(now->at_ns, before->at_ns);
	} else {
		n.running = false;
	}
	fill_shares(&n, &b, wall_ns, known_waits, out);
	if (!before && !known_waits)
		out->blocked_pct = 0;
}

/* Busy threads first: what does not fit into the snapshot is the idle rest. */
static int compare_busy(const void *a, const void *b)
{
	const struct snap_thread *x = a, *y = b;
	double dx = x->cpu_pct + x->runq_pct, dy = y->cpu_pct + y->runq_pct;

	if (dx != dy)
		return dx > dy ? -1 : 1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/* s->threads as a heap whose root is the thread to give up first. */
static void sift_down(struct snap_thread *heap, uint32_t n, uint32_t at)
{
	for (;;) {
		uint32_t last = at, child = 2 * at + 1;
		struct snap_thread swap;

		if (child < n && compare_busy(&heap[child], &heap[last]) > 0)
			last = child;
		if (child + 1 < n && compare_busy(&heap[child + 1], &heap[last]) > 0)
			last = child + 1;
		if (last == at)
			return;
		swap = heap[at];
		heap[at] = heap[last];
		heap[last] = swap;
		at = last;
	}
}

static void keep_busy(struct snapshot *s, const struct snap_thread *row)
{
	if (s->nthreads < SNAP_THREADS) {
		s->threads[s->nthreads++] = *row;
		if (s->nthreads == SNAP_THREADS)
			for (uint32_t i = SNAP_THREADS / 2; i-- > 0;)
				sift_down(s->threads, SNAP_THREADS, i);
		return;
	}
	s->truncated++;
	if (compare_busy(row, &s->threads[0]) > 0)
		return;
	s->threads[0] = *row;
	sift_down(s->threads, SNAP_THREADS, 0);
}

void thread_rows_fill(const struct threads *t, bool known_waits, struct snapshot *s)
{
	uint64_t delay_ns = 0;
	uint32_t hint = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		const struct contract_thread *now = &t->now[i];
		const struct contract_thread *before = threads_before(t, now->tid, &hint);
		struct snap_thread row = {0};

		fill_thread(t, now, before, known_waits, &row);
		keep_busy(s, &row);
		delay_ns += since(now->run_delay_ns, before ? before->run_delay_ns : 0);
	}
	qsort(s->threads, s->nthreads, sizeof(s->threads[0]), compare_busy);
	s->cpu.runq_wait_pct = pct(delay_ns, t->now_ns - t->before_ns);
}

/* ---- context switches ----------------------------------------------------------------------- */

void thread_switches_count(struct thread_switches *sw, const struct threads *t)
{
	static const struct contract_thread unborn;
	uint32_t hint = 0;

	/* Threads that end take their counts with them. */
	for (uint32_t i = 0; i < t->n && !t->gone; i++) {
		const struct contract_thread *now = &t->now[i];
		const struct contract_thread *before = threads_before(t, now->tid, &hint);

		if (!before)
			before = &unborn;
		sw->voluntary += since(now->nvcsw, before->nvcsw);
		sw->involuntary += since(now->nivcsw, before->nivcsw);
	}
	sw->at_ns = t->now_ns;
}

void thread_switches_fill(const struct thread_switches *now, struct thread_switches *shown,
			  struct snapshot *s)
{
	double seconds = (double)(now->at_ns - shown->at_ns) / 1e9;

	s->proc.ctxsw_voluntary = now->voluntary;
	s->proc.ctxsw_involuntary = now->involuntary;
	if (seconds > 0) {
		s->proc.ctxsw_voluntary_rate =
			(double)(now->voluntary - shown->voluntary) / seconds;
		s->proc.ctxsw_involuntary_rate =
			(double)(now->involuntary - shown->involuntary) / seconds;
	}
	*shown = *now;
}
