/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_peer.h: the other end of a connection that the target waits for, in one sentence. */
#ifndef PERFTOP_VERDICT_PEER_H
#define PERFTOP_VERDICT_PEER_H

#include <stddef.h>

struct snapshot;

/*
 * Into text, for the peer that most time is waited for, at least least_pct of one thread. Returns
 * the name of the view that shows more, NULL when there is no such peer.
 */
const char *verdict_peer(const struct snapshot *s, double least_pct, char *text, size_t size);

#endif
