/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h: what the control groups of a process allow it: CPU time and memory. */
#ifndef PERFTOP_LIMITS_H
#define PERFTOP_LIMITS_H

#include <stdint.h>

#include "collectors/snapshot.h"

struct limits;

/* root: where control groups are mounted, "/sys/fs/cgroup". NULL: out of memory. */
struct limits *limits_new(const char *root);
void limits_free(struct limits *l);

/*
 * Find them, now and then: groups and limits can change. groups: text of /proc/PID/cgroup, "" where
 * it cannot be read. Both versions of control groups, see cgroups(7).
 */
void limits_find(struct limits *l, const char *groups);

/*
 * Fills quota_cpus, throttled_pct, quota_group, and memory_limit_bytes and what belongs to it, of
 * the group that holds back most; left alone where nothing limits.
 */
void limits_read(struct limits *l, uint64_t now_ns, struct snap_proc *out);

#endif
