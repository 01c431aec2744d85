/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_lookup.c: see verdict_lookup.h. */
#include "tui/verdict_lookup.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "collectors/name_words.h"
#include "tui/format.h"
#include "tui/time_split.h"

/* Frames from poll() up to the function of the program that asked. */
enum { RESOLVER_DEPTH = 16 };

static bool is_lookup(const struct snapshot *s, const struct snap_wait_stack *st)
{
	static const char *const names[] = {"__res_context_send", "__libc_res_nsend", "__res_nsend",
					    "__res_msend_rc", "ares_"};

	for (uint32_t i = 0; i < st->nframes && i < RESOLVER_DEPTH && st->reason == BLOCKED_NET;
	     i++)
		if (st->frames[i] < s->nsymbols &&
		    NAME_BEGINS_IN(s->symbols[st->frames[i]].name, names))
			return true;
	return false;
}

/* "192.0.2.1:53", the other end of "udp 10.0.0.1:4711 192.0.2.1:53" that was waited for longest. */
static const char *name_server(const struct snapshot *s)
{
	const struct snap_socket *top = NULL;
	const char *end;

	for (uint32_t i = 0; i < s->nsockets; i++) {
		const char *name = s->sockets[i].name;
		size_t n = strlen(name);

		if (n > 3 && !strcmp(name + n - 3, ":53") &&
		    (!top || s->sockets[i].wait_ns > top->wait_ns))
			top = &s->sockets[i];
	}
	end = top ? strrchr(top->name, ' ') : NULL;
	return end ? end + 1 : NULL;
}

const char *verdict_lookup(const struct snapshot *s, double least_pct, char *text, size_t size)
{
	const char *server = name_server(s);
	uint64_t ns = 0, max = 0, count = 0;
	char n[FORMAT_SIZE], longest[FORMAT_SIZE];
	double pct;

	for (uint32_t i = 0; i < s->nwait_stacks; i++) {
		const struct snap_wait_stack *st = &s->wait_stacks[i];

		if (!is_lookup(s, st))
			continue;
		ns += st->ns;
		count += st->count;
		max = st->max_ns > max ? st->max_ns : max;
	}
	pct = time_waited_pct(s, ns);
	if (!count || pct < least_pct)
		return NULL;
	snprintf(text, size,
		 "%.0f %% of a thread's time waits for a name server%s%.60s: %s waits, longest %s; "
		 "/etc/resolv.conf says which is asked, and for how long",
		 pct, server ? ", " : "", server ? server : "", format_count(n, (double)count),
		 format_ns(longest, max));
	return "blocked";
}
