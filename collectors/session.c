/* SPDX-License-Identifier: Apache-2.0 */
/* session.c: the session's life, and the reader's side of it. */
#include "collectors/session_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "collectors/recorder.h"
#include "collectors/replay.h"
#include "collectors/rules.h"

/* A server that leaves the work to its children looks idle by itself. */
static void report_children(struct session *se)
{
	uint32_t n = se->target.view.children;

	if (n && !target_set_many(&se->others))
		session_event(se,
			      "the target has %u child%s, not watched; --follow-forks watches "
			      "them too",
			      n, n == 1 ? "" : "ren");
}

static int open_files(struct session *se, char *why, size_t why_size)
{
	int err = 0;

	if (se->cfg.replay_path) {
		se->replay = replay_open(se->cfg.replay_path, &err, why, why_size);
		return se->replay ? 0 : err;
	}
	err = target_init(&se->target, se->cfg.pid, why, why_size);
	if (err)
		return err;
	target_set_init(&se->others, se->cfg.pid, se->cfg.pids, se->cfg.npids, se->cfg.cgroup,
			se->cfg.follow_forks);
	report_children(se);
	session_open_symbols(se);
	err = session_resolve_probes(se, why, why_size);
	if (err)
		return err;
	if (se->cfg.record_path) {
		se->recorder = recorder_new(se->cfg.record_path, se->cfg.record_overwrite, &err,
					    why, why_size);
		if (!se->recorder)
			return err;
	}
	return 0;
}

struct session *session_new(const struct session_config *cfg, int *err, char *why, size_t why_size)
{
	struct session *se = calloc(1, sizeof(*se));

	*err = -ENOMEM;
	snprintf(why, why_size, "out of memory");
	if (!se)
		return NULL;
	se->cfg = *cfg;
	se->target.pidfd = -1;
	atomic_init(&se->want_interval_ns, cfg->interval_ns);
	se->glance_fd = -1;
	se->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	se->command_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	privilege_read(&se->privilege);
	se->rules = rules_new();
	if (se->news_fd < 0 || se->command_fd < 0 || !se->rules || mailbox_init(&se->box))
		goto fail;
	*err = open_files(se, why, why_size);
	if (*err)
		goto fail;
	return se;
fail:
	session_free(se);
	return NULL;
}

int session_start(struct session *se)
{
	int err = pthread_create(&se->thread, NULL, session_main, se);

	if (!err)
		se->running = true;
	return -err;
}

static void command(struct session *se)
{
	uint64_t one = 1;

	if (write(se->command_fd, &one, sizeof(one)) < 0)
		return;
}

void session_free(struct session *se)
{
	if (!se)
		return;
	if (se->running) {
		atomic_store(&se->want_quit, true);
		command(se);
		pthread_join(se->thread, NULL);
	} else {
		session_detach(se);
	}
	recorder_free(se->recorder);
	replay_free(se->replay);
	rules_free(se->rules);
	target_fini(&se->target);
	target_set_fini(&se->others);
	mailbox_fini(&se->box);
	if (se->news_fd >= 0)
		close(se->news_fd);
	if (se->command_fd >= 0)
		close(se->command_fd);
	free(se);
}

const struct snapshot *session_snapshot(struct session *se)
{
	uint64_t drain;

	if (read(se->news_fd, &drain, sizeof(drain)) < 0 && errno != EAGAIN)
		return NULL;
	return mailbox_take(&se->box);
}

int session_eventfd(struct session *se)
{
	return se->news_fd;
}

void session_reset(struct session *se)
{
	atomic_store(&se->want_reset, true);
	command(se);
}

void session_set_interval(struct session *se, uint64_t interval_ns)
{
	atomic_store(&se->want_interval_ns, interval_ns);
}

void session_stop(struct session *se)
{
	atomic_store(&se->want_stop, true);
	command(se);
}

uint64_t session_unrecorded(const struct session *se, int *err)
{
	*err = atomic_load(&se->record_error);
	return atomic_load(&se->record_lost);
}
