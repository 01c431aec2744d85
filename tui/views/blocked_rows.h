/* SPDX-License-Identifier: Apache-2.0 */
/* blocked_rows.h: locks, stacks and sockets that threads wait at, as rows of one list. */
#ifndef PERFTOP_BLOCKED_ROWS_H
#define PERFTOP_BLOCKED_ROWS_H

#include "collectors/snapshot.h"
#include "tui/grid.h"

enum blocked_kind { BLOCKED_ROW_LOCK, BLOCKED_ROW_STACK, BLOCKED_ROW_SOCKET };

/* Row 0.. of the list: the index into the snapshot's array of its kind. */
enum blocked_kind blocked_row_kind(const struct snapshot *s, uint32_t row, uint32_t *index);

/* The first frame that is not the C library's; its symbol, UINT32_MAX when there is none. */
uint32_t blocked_stack_place(const struct snapshot *s, const struct snap_wait_stack *st);

/* "~" where the count of waits is an estimate: short ones are drawn by lot; "" for a few. */
const char *blocked_waits_about(const struct snap_wait_stack *st);

/* The list; its data is the struct ui. */
extern const struct grid_model blocked_rows_model;

/* "in fdatasync for flushAppendOnlyFile": the call that waits and who in the program made it. */
void blocked_stack_words(const struct snapshot *s, const struct snap_wait_stack *st, char *out,
			 size_t size);

#endif
