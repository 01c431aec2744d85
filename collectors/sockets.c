/* SPDX-License-Identifier: Apache-2.0 */
/* sockets.c: the sockets that the target's threads wait on: how often and how long. */
#include "collectors/sockets.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/map_read.h"
#include "collectors/socket_names.h"
#include "collectors/tcp_info.h"
#include "collectors/threads.h"
#include "collectors/wait_sum.h"
#include "probes/contract.h"

enum {
	ROWS = CONTRACT_SOCKETS,
	SLOTS = 2 * ROWS, /* a power of two */
	FULL = ROWS / 4 * 3,
};

struct socket_row {
	struct contract_socket_key key;
	struct contract_socket total; /* finished waits, from the map */
	struct wait_sum sum;	      /* with those that go on */
	bool named;
	bool no_tcp; /* or it cannot be asked: not again */
	bool met;    /* first has what it knew then */
	struct tcp_facts first, last;
	char name[SNAP_NAME], peer[SNAP_PEER];
};

struct sockets {
	int map_fd;
	uint32_t n;
	uint64_t names_at_tick, tick;
	struct socket_row rows[ROWS];
	uint16_t slots[SLOTS]; /* row + 1 by hash of the key, 0 = free */
	struct contract_socket_key keys[ROWS];
	struct contract_socket values[ROWS];
};

struct sockets *sockets_new(int map_fd)
{
	struct sockets *s = calloc(1, sizeof(*s));

	if (s)
		s->map_fd = map_fd;
	return s;
}

void sockets_free(struct sockets *s)
{
	free(s);
}

static bool same(const struct contract_socket_key *a, const struct contract_socket_key *b)
{
	return a->inode == b->inode && a->tgid == b->tgid && a->fd == b->fd;
}

static uint16_t *slot_of(struct sockets *s, const struct contract_socket_key *key)
{
	uint64_t mixed = (key->inode * 31 + key->tgid) * 31 + (uint32_t)key->fd;
	uint32_t h = (uint32_t)(mixed * 0x9E3779B97F4A7C15ull >> 40);

	while (s->slots[h % SLOTS] && !same(&s->rows[s->slots[h % SLOTS] - 1].key, key))
		h++;
	return &s->slots[h % SLOTS];
}

static struct socket_row *row_of(struct sockets *s, const struct contract_socket_key *key)
{
	uint16_t *slot = slot_of(s, key);

	if (!*slot) {
		if (s->n == ROWS)
			return NULL;
		memset(&s->rows[s->n], 0, sizeof(s->rows[0]));
		s->rows[s->n].key = *key;
		*slot = (uint16_t)++s->n;
	}
	return &s->rows[*slot - 1];
}

/* Forget what nobody waited on since the tick before, here and in the map. */
static void make_room(struct sockets *s)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		if (s->rows[i].sum.idle)
			bpf_map_delete_elem(s->map_fd, &s->rows[i].key);
		else
			s->rows[kept++] = s->rows[i];
	}
	s->n = kept;
	memset(s->slots, 0, sizeof(s->slots));
	for (uint32_t i = 0; i < s->n; i++)
		*slot_of(s, &s->rows[i].key) = (uint16_t)(i + 1);
}

void sockets_read_finished(struct sockets *s)
{
	uint32_t n;

	s->tick++;
	if (s->n >= FULL)
		make_room(s);
	n = map_read(s->map_fd, s->keys, sizeof(s->keys[0]), s->values, sizeof(s->values[0]), ROWS);
	for (uint32_t i = 0; i < s->n; i++)
		wait_sum_begin(&s->rows[i].sum);
	for (uint32_t i = 0; i < n; i++) {
		struct socket_row *r = row_of(s, &s->keys[i]);

		if (!r)
			continue;
		r->sum.idle = r->total.waits == s->values[i].waits;
		r->total = s->values[i];
	}
}

void sockets_add_waiting(struct sockets *s, const struct threads *t)
{
	for (uint32_t i = 0; i < t->n && !t->gone; i++) {
		const struct contract_thread *row = &t->now[i];
		struct contract_socket_key key = {
			.inode = row->inode, .tgid = row->tgid, .fd = row->fd};
		struct socket_row *r;
		uint64_t blocked;

		if (row->wait != WAIT_NET || !row->off_ns)
			continue;
		r = row_of(s, &key);
		if (!r)
			continue;
		blocked = wait_sum_add(&r->sum, t, row);
		if (blocked > r->total.max_ns)
			r->total.max_ns = blocked;
	}
	for (uint32_t i = 0; i < s->n; i++) {
		struct socket_row *r = &s->rows[i];

		wait_sum_show(&r->sum, r->total.waits, r->total.wait_ns);
	}
}

void sockets_carry(struct sockets *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		wait_sum_carry(&s->rows[i].sum);
}

void sockets_reset(struct sockets *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		wait_sum_reset(&s->rows[i].sum, s->rows[i].total.waits);
}

/* ---- into the snapshot ---------------------------------------------------------------------- */

static void plain_name(struct socket_row *r)
{
	const struct contract_socket_key *k = &r->key;

	if (k->inode)
		snprintf(r->name, sizeof(r->name), "socket %llu, gone or of another kind",
			 (unsigned long long)k->inode);
	else if (!k->tgid)
		snprintf(r->name, sizeof(r->name), "others: more than %d sockets", ROWS);
	else if (k->fd < 0)
		snprintf(r->name, sizeof(r->name), "poll or select, any of its sockets");
	else
		snprintf(r->name, sizeof(r->name), "epoll, any of its sockets");
}

/* Sockets without a name are looked for once, all together, and not again. */
static void name_new(struct sockets *s, const uint32_t *rows, uint32_t n, const struct threads *t)
{
	struct socket_wanted want[SNAP_SOCKETS];
	uint32_t nwant = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct socket_row *r = &s->rows[rows[i]];

		if (r->named)
			continue;
		if (!r->name[0])
			plain_name(r);
		if (r->key.inode)
			want[nwant++] =
				(struct socket_wanted){.inode = r->key.inode,
						       .pid = threads_pid_of(t, r->key.tgid),
						       .fd = r->key.fd,
						       .name = r->name,
						       .peer = r->peer,
						       .found = &r->named};
		else
			r->named = true;
	}
	if (!nwant || (s->names_at_tick && s->tick - s->names_at_tick < 5))
		return;
	s->names_at_tick = s->tick;
	socket_names_find(t->pid, want, nwant);
	for (uint32_t i = 0; i < nwant; i++)
		*want[i].found = true;
}

/* Ask the kernel about a connection that is waited on now. */
static void look_at_tcp(struct socket_row *r, const struct threads *t)
{
	struct tcp_facts now;
	int err;

	if (r->no_tcp || r->sum.idle || !r->key.inode || r->key.fd < 0)
		return;
	err = tcp_info_read(threads_pid_of(t, r->key.tgid), r->key.fd, r->key.inode, &now);
	if (err) {
		r->no_tcp = err != -ESTALE;
		return;
	}
	if (!r->met)
		r->first = now;
	r->met = true;
	r->last = now;
}

static void fill_tcp(const struct socket_row *r, struct snap_socket *out)
{
	const struct tcp_facts *last = &r->last, *first = &r->first;
	uint64_t segments =
		(uint64_t)(last->sent - first->sent) + (last->received - first->received);

	out->rtt_ns = last->rtt_ns;
	out->retransmits = last->retransmits - first->retransmits;
	out->out_of_order = last->out_of_order - first->out_of_order;
	if (segments)
		out->loss_pct =
			100.0 * (double)(out->retransmits + out->out_of_order) / (double)segments;
}

void sockets_fill(struct sockets *s, const struct threads *t, uint64_t interval_ns,
		  struct snapshot *snap)
{
	uint32_t top[SNAP_SOCKETS], n = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t at = n;

		if (!wait_sum_ns(&s->rows[i].sum))
			continue;
		/* cppcheck-suppress uninitvar ; the first n are set */
		while (at && wait_sum_exceeds(&s->rows[i].sum, &s->rows[top[at - 1]].sum))
			at--;
		if (n == SNAP_SOCKETS)
			snap->truncated++;
		else
			n++;
		if (at == SNAP_SOCKETS)
			continue;
		memmove(top + at + 1, top + at, (n - 1 - at) * sizeof(*top));
		top[at] = i;
	}
	name_new(s, top, n, t);
	for (uint32_t i = 0; i < n; i++) {
		struct socket_row *r = &s->rows[top[i]];
		struct snap_socket *out = &snap->sockets[snap->nsockets++];

		look_at_tcp(r, t);
		fill_tcp(r, out);

		out->fd = r->key.fd;
		snapshot_string(out->name, sizeof(out->name), r->name);
		snapshot_string(out->peer, sizeof(out->peer), r->peer);
		out->waits = wait_sum_waits(&r->sum);
		out->wait_ns = wait_sum_ns(&r->sum);
		out->max_ns = r->total.max_ns;
		out->pct = wait_sum_pct(&r->sum, interval_ns);
	}
}
