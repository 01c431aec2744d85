/* SPDX-License-Identifier: Apache-2.0 */
/* mailbox.c: three snapshots between one writer and one reader; the latest wins. */
#include "collectors/mailbox.h"

#include <errno.h>
#include <string.h>

#define MAILBOX_FRESH 4u

int mailbox_init(struct mailbox *m)
{
	memset(m, 0, sizeof(*m));
	for (int i = 0; i < 3; i++) {
		m->slots[i] = snapshot_new();
		if (!m->slots[i]) {
			mailbox_fini(m);
			return -ENOMEM;
		}
	}
	m->writing = 0;
	atomic_init(&m->middle, 1);
	m->reading = 2;
	return 0;
}

void mailbox_fini(struct mailbox *m)
{
	for (int i = 0; i < 3; i++)
		snapshot_free(m->slots[i]);
	memset(m->slots, 0, sizeof(m->slots));
}

struct snapshot *mailbox_slot(struct mailbox *m)
{
	return m->slots[m->writing];
}

void mailbox_publish(struct mailbox *m)
{
	/* Release: what was written is seen with the index. Acquire: the reader is done with ours.
	 */
	uint32_t old = atomic_exchange_explicit(&m->middle, m->writing | MAILBOX_FRESH,
						memory_order_acq_rel);

	m->writing = old & ~MAILBOX_FRESH;
}

const struct snapshot *mailbox_take(struct mailbox *m)
{
	uint32_t old;

	if (!(atomic_load_explicit(&m->middle, memory_order_relaxed) & MAILBOX_FRESH))
		return NULL;
	old = atomic_exchange_explicit(&m->middle, m->reading, memory_order_acq_rel);
	m->reading = old & ~MAILBOX_FRESH;
	return m->slots[m->reading];
}
