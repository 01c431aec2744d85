/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_peer.c: the other end of a connection that the target waits for, in one sentence. */
#include "tui/verdict_peer.h"

#include <stdio.h>
#include <string.h>

#include "collectors/snapshot.h"
#include "tui/format.h"

/* Percent of segments lost that a connection suffers from, and how many make it a percentage. */
#define LOST_PCT 0.5
enum { LOST_FEW = 3 };

/* All connections to one other end that the target made and waits on. */
struct peer_wait {
	const char *peer;
	uint64_t waits, wait_ns, max_ns;
	uint64_t rtt_ns; /* the shortest: of the network */
	double pct, loss_pct;
};

static struct peer_wait longest_peer(const struct snapshot *s)
{
	struct peer_wait top = {.pct = 0};

	for (uint32_t i = 0; i < s->nsockets; i++) {
		struct peer_wait p = {.peer = s->sockets[i].peer};

		for (uint32_t k = i; k < s->nsockets && p.peer[0]; k++) {
			const struct snap_socket *so = &s->sockets[k];

			if (strcmp(so->peer, p.peer) != 0)
				continue;
			p.pct += so->pct;
			p.waits += so->waits;
			p.wait_ns += so->wait_ns;
			p.max_ns = so->max_ns > p.max_ns ? so->max_ns : p.max_ns;
			if (so->rtt_ns && (!p.rtt_ns || so->rtt_ns < p.rtt_ns))
				p.rtt_ns = so->rtt_ns;
			if (so->retransmits + so->out_of_order >= LOST_FEW &&
			    so->loss_pct > p.loss_pct)
				p.loss_pct = so->loss_pct;
		}
		if (p.pct > top.pct)
			top = p;
	}
	return top;
}

/* Answers that an event loop waits for, through one descriptor for all its connections. */
static const char *say_answers(const struct snapshot *s, double least_pct, char *text, size_t size)
{
	static const char prefix[] = "answers of ";
	const struct snap_latency *top = NULL;
	char rate[FORMAT_SIZE], p50[FORMAT_SIZE], p99[FORMAT_SIZE];
	double most = least_pct;

	for (uint32_t i = 0; i < s->nlatency; i++) {
		const struct snap_latency *l = &s->latency[i];
		double pct = l->rate * (double)l->mean / 1e7;

		if (l->source == LATENCY_SOCKET && pct >= most &&
		    !strncmp(l->name, prefix, sizeof(prefix) - 1)) {
			top = l;
			most = pct;
		}
	}
	if (!top)
		return NULL;
	snprintf(text, size,
		 "%.1f answers of %s are waited for at a time: %s, half of them take %s, the "
		 "slowest 1 %% %s",
		 most / 100, top->name + sizeof(prefix) - 1, format_rate(rate, top->rate),
		 format_ns(p50, top->p50), format_ns(p99, top->p99));
	return "latency";
}

/* Is it the network or the peer that takes the time? */
static void say_network(const struct peer_wait *p, char *text, size_t size)
{
	uint64_t each = p->wait_ns / p->waits;
	char rtt[FORMAT_SIZE];

	format_ns(rtt, p->rtt_ns);
	if (p->loss_pct >= LOST_PCT)
		snprintf(text, size, "; the network loses or reorders %.1f %% of the packets",
			 p->loss_pct);
	else if (p->rtt_ns && p->rtt_ns >= each / 2)
		snprintf(text, size, "; most of each is the network's round trip, %s", rtt);
	else if (p->rtt_ns)
		snprintf(text, size, "; of each the network's round trip takes %s", rtt);
	else
		text[0] = '\0';
}

const char *verdict_peer(const struct snapshot *s, double least_pct, char *text, size_t size)
{
	struct peer_wait p = longest_peer(s);
	char each[FORMAT_SIZE], max[FORMAT_SIZE], n[FORMAT_SIZE], network[96];

	if (p.pct < least_pct || !p.waits)
		return say_answers(s, least_pct, text, size);
	say_network(&p, network, sizeof(network));
	snprintf(text, size,
		 "%.0f %% of a thread's time waits for data from %s: %s waits, %s each, longest "
		 "%s%s",
		 p.pct, p.peer, format_count(n, (double)p.waits),
		 format_ns(each, p.wait_ns / p.waits), format_ns(max, p.max_ns), network);
	return "blocked";
}
