/* SPDX-License-Identifier: Apache-2.0 */
/* session.c: the session's life, and the reader's side of it. */
#include "collectors/session_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "collectors/procfs.h"
#include "collectors/recorder.h"
#include "collectors/replay.h"
#include "collectors/rules.h"
#include "collectors/symbols.h"

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

/* How much the process maps, and where its program begins: another exec puts it elsewhere. */
struct mapped {
	char size[128], first[64];
};

static void look_at_mapped(pid_t pid, struct mapped *m)
{
	memset(m, 0, sizeof(*m));
	procfs_read(pid, "statm", m->size, sizeof(m->size));
	m->size[strcspn(m->size, " ")] = '\0'; /* pages; others change as it runs */
	procfs_read(pid, "maps", m->first, sizeof(m->first));
}

/*
 * A process that has just begun a program maps its libraries one by one: what is not found is
 * looked for again as long as it goes on.
 */
static int first_probes(struct session *se, char *why, size_t why_size)
{
	enum { TRIES = 5, PAUSE_MS = 15 };
	struct mapped before, after;
	int err;

	for (int i = 0;; i++) {
		look_at_mapped(se->target.pid, &before);
		session_open_symbols(se);
		err = session_resolve_probes(se, why, why_size);
		if (err != -ENOENT || i == TRIES)
			return err;
		poll(NULL, 0, PAUSE_MS);
		look_at_mapped(se->target.pid, &after);
		if (!strcmp(before.size, after.size) && !strcmp(before.first, after.first))
			return err;
		symbols_free(se->symbols);
		se->symbols = NULL;
	}
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
	err = first_probes(se, why, why_size);
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
