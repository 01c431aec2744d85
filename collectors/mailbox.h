/* SPDX-License-Identifier: Apache-2.0 */
/* mailbox.h: three snapshots between one writer and one reader; the latest wins. */
#ifndef PERFTOP_MAILBOX_H
#define PERFTOP_MAILBOX_H

#include <stdatomic.h>
#include <stdint.h>

#include "collectors/snapshot.h"

/*
 * The writer owns one slot, the reader another, and the third waits in `middle`. Both sides trade
 * theirs against it with one atomic exchange: wait-free, no copy, and the reader's slot never
 * changes under it. MAILBOX_FRESH marks that the waiting slot holds news.
 */
struct mailbox {
	struct snapshot *slots[3];
	_Atomic uint32_t middle; /* slot index, with MAILBOX_FRESH */
	uint32_t writing, reading;
};

int mailbox_init(struct mailbox *m); /* 0 or -ENOMEM */
void mailbox_fini(struct mailbox *m);

/* Writer: the slot to fill, not cleared; then publish it and get another. */
struct snapshot *mailbox_slot(struct mailbox *m);
void mailbox_publish(struct mailbox *m);

/* Reader: the newest snapshot, or NULL when there is none since the last call. */
const struct snapshot *mailbox_take(struct mailbox *m);

#endif
