/* SPDX-License-Identifier: Apache-2.0 */
/* batch.h: snapshots as text or JSON, without a terminal. */
#ifndef PERFTOP_BATCH_H
#define PERFTOP_BATCH_H

#include <stddef.h>
#include <stdint.h>

struct options;
struct session;

/*
 * SIGINT, SIGTERM and SIGHUP must be blocked in every thread from before the session starts:
 * batch_block_signals() does that and gives a file descriptor to read them from, or -errno.
 */
int batch_block_signals(void);

/*
 * Print each tick until the session finishes, the duration ends (counted from the first tick), a
 * signal comes, or the reader of the output goes away. After a signal one last tick is printed.
 * Returns 0 (also when the reader went away), 128 + signal, or -errno with a sentence in why.
 */
int batch_run(struct session *se, const struct options *opt, int signal_fd, char *why,
	      size_t why_size);

/* The same from opt->session.replay_path, every tick of it, paced by opt->session.replay_speed. */
int batch_replay(const struct options *opt, int signal_fd, char *why, size_t why_size);

#endif
