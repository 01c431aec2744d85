/* SPDX-License-Identifier: Apache-2.0 */
/* turns.c: how long answers take, the target's own and those that it waits for. */
#include "collectors/turns.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/bpf.h"
#include "collectors/latency.h"
#include "collectors/session.h"
#include "collectors/socket_names.h"
#include "perftop.skel.h"
#include "probes/contract.h"

/*
 * To learn who listens, the kernel goes through its whole table of connections, some 10 ms where it
 * is large: not before the first screen, and seldom after it, for new connections are seen.
 */
#define PORTS_FIRST_NS 10000000000ull
#define PORTS_EVERY_NS 120000000000ull

/* What the last timed interval showed, for ticks without one. */
struct turn_held {
	double rate;
	uint64_t p50, p99, max;
};

struct turns {
	struct perftop_bpf__bss *bss;
	const struct contract_turn_key *keys; /* CONTRACT_TURN_ROWS */
	const struct contract_hist *hists;    /* the same */
	uint64_t *ports;		      /* those of struct socket_ports */
	uint64_t began_ns, looked_ns;
	struct latency_track tracks[CONTRACT_TURN_ROWS];
	struct turn_held held[CONTRACT_TURN_ROWS];
	struct latency_sum sum; /* scratch */
};

static void look_for_ports(struct turns *t, struct session *se)
{
	struct socket_ports found = {0};

	socket_names_listening(session_pid(se), &found);
	for (size_t i = 0; i < sizeof(found.listening) / sizeof(found.listening[0]); i++)
		if (t->ports[i] != found.listening[i])
			t->ports[i] = found.listening[i];
	t->bss->turn_ports_known = 1;
	t->looked_ns = session_now_ns(se);
}

static bool look_now_and_then(struct turns *t, struct session *se)
{
	bool first = !t->looked_ns;

	uint64_t now = session_now_ns(se);

	if (!t->began_ns)
		t->began_ns = now; /* the first tick, which is not to wait */
	else if (!t->looked_ns ||
		 (t->looked_ns < t->began_ns + PORTS_FIRST_NS &&
		  now >= t->began_ns + PORTS_FIRST_NS) ||
		 now - t->looked_ns >= PORTS_EVERY_NS)
		look_for_ports(t, se);
	return first && t->looked_ns;
}

struct turns *turns_new(struct session *se, char *why, size_t why_size)
{
	struct bpf *b = session_bpf(se);
	struct perftop_bpf *skel = bpf_skeleton(b);
	struct turns *t = calloc(1, sizeof(*t));

	if (!t) {
		snprintf(why, why_size, "out of memory");
		return NULL;
	}
	t->bss = skel->bss;
	t->keys = bpf_map_array(b, bpf_map__fd(skel->maps.turn_keys), sizeof(*t->keys),
				CONTRACT_TURN_ROWS, false);
	t->hists = bpf_map_array(b, bpf_map__fd(skel->maps.turn_hist), sizeof(*t->hists),
				 CONTRACT_TURN_ROWS, false);
	t->ports = bpf_map_array(b, bpf_map__fd(skel->maps.turn_ports), sizeof(*t->ports),
				 65536 / 64, true);
	if (!t->keys || !t->hists || !t->ports) {
		snprintf(why, why_size, "mapping the answers failed: %s", strerror(errno));
		free(t);
		return NULL;
	}
	return t;
}

void turns_free(struct turns *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < CONTRACT_TURN_ROWS; i++)
		latency_track_fini(&t->tracks[i]);
	free(t);
}

void turns_begin(struct turns *t)
{
	t->bss->turn_window++;
}

void turns_reset(struct turns *t)
{
	for (uint32_t i = 0; i < CONTRACT_TURN_ROWS; i++)
		latency_track_reset(&t->tracks[i]);
}

/* Abstract names are shown as ss does, from @ on. */
static void name_unix_row(const struct contract_turn_key *k, struct snap_latency *row)
{
	bool abstract = !k->path[0];
	int n = (int)strnlen(k->path + abstract, sizeof(k->path) - abstract);

	snprintf(row->module, sizeof(row->module), "unix");
	snprintf(row->name, sizeof(row->name), "%s %s%.*s",
		 k->served ? "requests to" : "answers of", abstract ? "@" : "", n,
		 k->path + abstract);
}

static void name_row(const struct contract_turn_key *k, struct snap_latency *row)
{
	char end[SNAP_PEER] = "?";

	if (k->family == AF_UNIX) {
		name_unix_row(k, row);
		return;
	}
	snprintf(row->module, sizeof(row->module), "%s",
		 k->protocol == IPPROTO_UDP ? "udp" : "tcp");
	if (k->served) {
		snprintf(row->name, sizeof(row->name), "requests to :%u", k->port);
		return;
	}
	socket_names_end(k->addr, k->family == AF_INET6, k->port, end, sizeof(end));
	snprintf(row->name, sizeof(row->name), "answers of %s", end);
}

/* A rate is of the time in which calls were timed. */
static void hold(struct turn_held *held, uint64_t interval_ns, uint64_t timed_ns,
		 struct snap_latency *row)
{
	if (timed_ns) {
		row->rate *= (double)interval_ns / (double)timed_ns;
		*held = (struct turn_held){row->rate, row->recent_p50, row->recent_p99,
					   row->recent_max};
		return;
	}
	row->rate = held->rate;
	row->recent_p50 = held->p50;
	row->recent_p99 = held->p99;
	row->recent_max = held->max;
}

static void fill_row(struct turns *t, uint32_t i, uint64_t interval_ns, uint64_t timed_ns, bool all,
		     struct snapshot *s)
{
	struct snap_latency *row = &s->latency[s->nlatency];
	struct latency_source_now now;

	latency_sum_cpus(&t->sum, &t->hists[i], 1, sizeof(t->hists[i]));
	if (!t->sum.count || s->nlatency == SNAP_LATENCY)
		return;
	name_row(&t->keys[i], row);
	row->source = LATENCY_SOCKET;
	snprintf(row->unit, sizeof(row->unit), "ns");
	now = (struct latency_source_now){.count = t->sum.count,
					  .sum = t->sum.sum,
					  .max = t->sum.max,
					  .bins = t->sum.bins,
					  .nbins = t->sum.nbins};
	if (latency_track_update(&t->tracks[i], &now, interval_ns, s, row) || !row->count) {
		memset(row, 0, sizeof(*row));
		return;
	}
	row->calls = row->count;
	hold(&t->held[i], interval_ns, timed_ns, row);
	snprintf(row->note, sizeof(row->note), "%s%s",
		 t->keys[i].served ? "from data read to data sent" : "from data sent to data read",
		 all ? "" : ", seen in windows");
	s->nlatency++;
}

bool turns_tick(struct turns *t, struct session *se, uint64_t timed_ns, bool all,
		struct snapshot *s)
{
	uint32_t rows = __atomic_load_n(&t->bss->turn_rows_used, __ATOMIC_RELAXED);

	for (uint32_t i = 1; i <= rows && i < CONTRACT_TURN_ROWS; i++)
		fill_row(t, i, session_interval_ns(se), timed_ns, all, s);
	return look_now_and_then(t, se);
}
