/* SPDX-License-Identifier: Apache-2.0 */
/* target_choice.h: from a name, a control group or a container to the processes to watch. */
#ifndef PERFTOP_TARGET_CHOICE_H
#define PERFTOP_TARGET_CHOICE_H

#include <stddef.h>

#include "tui/options.h"

/*
 * Fill o->session.pid and, when several are meant, o->pids from o->name, o->cgroup or
 * o->container. A plain name that several processes have is one target when they are one family
 * (a server and its workers), a glob always. 0, or -errno with what to do in why: -ESRCH nobody
 * goes by it, -EEXIST several do.
 */
int target_choice_resolve(struct options *o, char *why, size_t why_size);

#endif
