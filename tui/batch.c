/* SPDX-License-Identifier: Apache-2.0 */
/* batch.c: snapshots as text or JSON, without a terminal. */
#include "tui/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/export_json.h"
#include "collectors/replay.h"
#include "tui/options.h"
#include "tui/text_report.h"
#include "tui/verdict.h"

enum { BATCH_STUCK_MS = 1000 }; /* a reader that takes nothing for so long after a signal */

struct batch {
	const struct options *opt;
	int fd, signal_fd;
	struct json_text json;
	struct text_report report;
	FILE *text; /* into text_bytes */
	char *text_bytes;
	size_t text_length;
	uint64_t ticks;
	uint64_t first_ns; /* CLOCK_MONOTONIC of the first tick printed, 0 = none yet */
	bool last;	   /* the duration is over with this tick */
};

int batch_block_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN); /* EPIPE says it where it can be handled */
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int signal_read(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

static int begin(struct batch *b, const struct options *opt, int signal_fd, char *why,
		 size_t why_size)
{
	const char *path = opt->json_path;
	int err;

	*b = (struct batch){.opt = opt, .fd = 1, .signal_fd = signal_fd};
	b->report.ascii = opt->app.ascii;
	b->text = open_memstream(&b->text_bytes, &b->text_length);
	if (!b->text)
		return -ENOMEM;
	if (!path)
		return 0;
	b->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (b->fd >= 0)
		return 0;
	err = -errno;
	snprintf(why, why_size, "cannot write %s: %s; name a file that you can write to", path,
		 strerror(-err));
	fclose(b->text);
	free(b->text_bytes);
	return err;
}

/* Says what became of the last writes. */
static int finish(struct batch *b, int status, char *why, size_t why_size)
{
	json_text_fini(&b->json);
	if (b->text)
		fclose(b->text);
	free(b->text_bytes);
	if (b->fd > 2 && close(b->fd) && status >= 0)
		status = -errno;
	/* The reader has what it wanted. */
	if (status == -EPIPE)
		return 0;
	if (status < 0)
		snprintf(why, why_size, "cannot write %s: %s",
			 b->opt->json_path ? b->opt->json_path : "the output", strerror(-status));
	return status;
}

/*
 * Blocks only where nothing is lost by it: a pipe that polls as writable takes PIPE_BUF bytes. A
 * signal does not cut a line in two unless the reader stands still.
 */
static int write_all(struct batch *b, const char *bytes, size_t n)
{
	struct pollfd fds[] = {
		{.fd = b->fd, .events = POLLOUT},
		{.fd = b->signal_fd, .events = POLLIN},
	};

	while (n) {
		size_t chunk = n < PIPE_BUF ? n : PIPE_BUF;
		ssize_t done;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (!fds[0].revents && fds[1].revents && poll(fds, 1, BATCH_STUCK_MS) <= 0)
			return -EINTR;
		if (!fds[0].revents)
			continue;
		done = write(b->fd, bytes, chunk);
		if (done < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (done > 0) {
			bytes += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

static int write_json(struct batch *b, const struct snapshot *s)
{
	static const char *const moods[] = {
		[VERDICT_GOOD] = "good", [VERDICT_WARN] = "warn", [VERDICT_BAD] = "bad"};
	struct verdict v;
	struct json_verdict words;
	int err;

	verdict_compute(&v, s);
	words = (struct json_verdict){moods[v.mood], v.label, v.text, v.view, v.also};
	err = export_json(&b->json, s, v.mood == VERDICT_NONE ? NULL : &words,
			  b->opt->json_histograms);
	return err ? err : write_all(b, b->json.bytes, b->json.length);
}

static int emit(struct batch *b, const struct snapshot *s)
{
	uint64_t duration_ns = b->opt->duration_ns;
	int err;

	if (b->opt->json) {
		err = write_json(b, s);
	} else {
		rewind(b->text);
		text_report_write(&b->report, s, b->text);
		err = fflush(b->text) ? -ENOMEM : write_all(b, b->text_bytes, b->text_length);
	}
	if (err)
		return err;
	b->ticks++;
	if (!b->first_ns)
		b->first_ns = s->mono_ns;
	/* Half an interval of grace: the tick at the end is the last, not one before it. */
	b->last = duration_ns && s->mono_ns - b->first_ns + s->interval_ns / 2 >= duration_ns;
	return 0;
}

static int timeout_ms(const struct batch *b, bool stopping)
{
	uint64_t end_ns, now_ns = clock_mono_ns();

	if (!b->opt->duration_ns || !b->first_ns || stopping)
		return -1;
	/* Half an interval of grace here too: the tick that falls on the end is on its way. */
	end_ns = b->first_ns + b->opt->duration_ns + b->opt->session.interval_ns / 2;
	if (end_ns <= now_ns)
		return 0;
	return end_ns - now_ns > 3600 * 1000000000ull ? 3600 * 1000
						      : (int)((end_ns - now_ns) / 1000000 + 1);
}

static int watch(struct batch *b, struct session *se)
{
	struct pollfd fds[] = {
		{.fd = session_eventfd(se), .events = POLLIN},
		{.fd = b->signal_fd, .events = POLLIN},
	};
	bool stopping = false;
	int sig = 0, err;

	for (;;) {
		const struct snapshot *s;

		if (poll(fds, 2, timeout_ms(b, stopping)) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents && !sig)
			sig = signal_read(b->signal_fd);
		else if (fds[1].revents && signal_read(b->signal_fd))
			return 128 + sig; /* the second time, at once */
		s = fds[0].revents ? session_snapshot(se) : NULL;
		if (s) {
			err = emit(b, s);
			if (err)
				return err == -EINTR ? 128 + (sig ? sig : signal_read(b->signal_fd))
						     : err;
			if (s->finished || (b->last && !sig))
				return sig ? 128 + sig : 0;
		}
		if (!stopping && (sig || !timeout_ms(b, false))) {
			session_stop(se);
			stopping = true;
		}
	}
}

int batch_run(struct session *se, const struct options *opt, int signal_fd, char *why,
	      size_t why_size)
{
	struct batch b;
	int status = begin(&b, opt, signal_fd, why, why_size);

	if (status)
		return status;
	return finish(&b, watch(&b, se), why, why_size);
}

/* Wait as long as the recording did; the signal that came meanwhile, or 0. */
static int pace(const struct batch *b, uint64_t gap_ns)
{
	struct pollfd fd = {.fd = b->signal_fd, .events = POLLIN};
	double speed = b->opt->session.replay_speed;
	uint64_t now_ns = clock_mono_ns(), until_ns = now_ns;

	if (speed > 0)
		until_ns += (uint64_t)((double)gap_ns / speed);
	do {
		uint64_t left_ns = until_ns - now_ns;
		int ms = (int)(left_ns / 1000000 < 60000 ? left_ns / 1000000 : 60000);

		if (poll(&fd, 1, ms) > 0)
			return signal_read(b->signal_fd);
		now_ns = clock_mono_ns();
	} while (now_ns + 1000000 < until_ns);
	return 0;
}

static int play(struct batch *b, struct replay *r, struct snapshot *s)
{
	uint64_t before_ns = 0, gap_ns;
	int more, sig, err;

	while ((more = replay_next(r, s)) > 0) {
		s->replaying = 1;
		gap_ns = before_ns && s->mono_ns > before_ns ? s->mono_ns - before_ns : 0;
		sig = pace(b, gap_ns);
		if (sig)
			return 128 + sig;
		err = emit(b, s);
		if (err == -EINTR)
			return 128 + signal_read(b->signal_fd);
		if (err || b->last)
			return err;
		before_ns = s->mono_ns;
	}
	return more;
}

int batch_replay(const struct options *opt, int signal_fd, char *why, size_t why_size)
{
	struct snapshot *s = NULL;
	struct replay *r;
	struct batch b;
	int status;

	r = replay_open(opt->session.replay_path, &status, why, why_size);
	if (!r)
		return status;
	status = begin(&b, opt, signal_fd, why, why_size);
	if (status)
		goto cleanup;
	s = snapshot_new();
	status = s ? play(&b, r, s) : -ENOMEM;
	if (status == -EBADMSG) {
		snprintf(why, why_size, "%s is damaged after tick %llu; what came before is right",
			 opt->session.replay_path, (unsigned long long)b.ticks);
		finish(&b, 0, (char[1]){0}, 0);
		goto cleanup;
	}
	status = finish(&b, status, why, why_size);
cleanup:
	snapshot_free(s);
	replay_free(r);
	return status;
}
