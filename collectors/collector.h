/* SPDX-License-Identifier: Apache-2.0 */
/* collector.h: what a collector is: one file, one row in collectors.def, one section. */
#ifndef PERFTOP_COLLECTOR_H
#define PERFTOP_COLLECTOR_H

#include "collectors/snapshot.h"

struct session;
struct session_config;

/*
 * A collector reads one source about the target and writes its part of each snapshot. All calls
 * come from the session's thread, in this order: start once; tick every interval; reset when the
 * user asks counts to begin anew; stop once. `priv` belongs to the collector.
 *
 * start  returns 0 when live or degraded, -errno when absent; either way it leaves the section's
 *        text with session_section(). A collector whose start failed is not ticked, but it may be
 *        started again after an exec of the target.
 * glance is called between ticks, some time after a child came that is watched too.
 * tick   fills its arrays of `s`. It allocates nothing in the steady state and blocks nowhere.
 * settle is called when all have started, and after a tick when that is on its way to the screen:
 * for what takes long and changes none of it.
 */
struct collector {
	const char *name; /* also the section's name */
	const char *help; /* one line, for the help view and the manual */
	int (*start)(struct session *se, void **priv);
	void (*tick)(struct session *se, void *priv, struct snapshot *s);
	void (*reset)(struct session *se, void *priv);	/* may be NULL */
	void (*glance)(struct session *se, void *priv); /* may be NULL */
	void (*settle)(struct session *se, void *priv); /* may be NULL */
	void (*stop)(struct session *se, void *priv);
};

extern const struct collector *const collectors[];
extern const uint32_t ncollectors;

#endif
