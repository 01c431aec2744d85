/* SPDX-License-Identifier: Apache-2.0 */
/* sched_reason.h: what the user is told a wait of each class is. */
#ifndef PERFTOP_SCHED_REASON_H
#define PERFTOP_SCHED_REASON_H

#include "collectors/snapshot.h"
#include "probes/contract.h"

/* wait: enum contract_wait; gives enum blocked_reason. */
static inline uint32_t sched_reason(uint32_t wait)
{
	switch (wait) {
	case WAIT_FUTEX:
		return BLOCKED_FUTEX;
	case WAIT_SLEEP:
		return BLOCKED_SLEEP;
	case WAIT_NET:
	case WAIT_EPOLL:
	case WAIT_POLL:
	case WAIT_SELECT:
		return BLOCKED_NET;
	case WAIT_IO:
		return BLOCKED_IO;
	case WAIT_FAULT:
		return BLOCKED_PAGE_FAULT;
	case WAIT_RUNQ:
		return BLOCKED_RUNQ;
	case WAIT_AIO:
		return BLOCKED_AIO;
	default:
		return BLOCKED_OTHER;
	}
}

#endif
