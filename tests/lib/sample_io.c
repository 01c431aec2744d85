/* SPDX-License-Identifier: Apache-2.0 */
/* sample_io.c: disk requests and page faults for sample snapshots. */
#include "tests/lib/sample_io.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void add_request(struct snapshot *s, const struct snap_latency *like, const char *disk,
			const char *op, const char *note)
{
	struct snap_latency *l = &s->block[s->nblock++];

	*l = *like;
	l->source = LATENCY_BLOCK;
	l->target = l->met = 0;
	l->cost_ns = 0;
	snapshot_string(l->name, sizeof(l->name), disk);
	snapshot_string(l->module, sizeof(l->module), op);
	snapshot_string(l->note, sizeof(l->note), note);
}

static void add_site(struct snapshot *s, const char *kind, uint64_t count, const char *frames)
{
	struct snap_fault *f = &s->faults[s->nfaults++];
	char word[64];
	int n;

	snapshot_string(f->kind, sizeof(f->kind), kind);
	f->count = count;
	f->rate = (double)count / 60;
	for (; sscanf(frames, " %63s%n", word, &n) == 1; frames += n)
		f->frames[f->nframes++] = snapshot_symbol(s, word, "redis-server");
}

void sample_io_fill(struct snapshot *s)
{
	for (uint32_t i = 0; i < s->nsyscalls; i++)
		if (!strcmp(s->syscalls[i].name, "read") || !strcmp(s->syscalls[i].name, "write"))
			snapshot_string(s->syscalls[i].module, sizeof(s->syscalls[i].module),
					"socket");
	add_request(s, &s->latency[0], "nvme0n1", "write", "5.0 KiB each, 1.9 µs of it queued");
	add_request(s, &s->latency[1], "nvme0n1", "flush", "");
	add_request(s, &s->latency[1], "[writeback] nvme0n1", "write",
		    "178 KiB each, 377 µs of it queued");
	s->npage_faults = 1;
	s->page_faults = (struct snap_page_faults){.count = 256002,
						   .major = 12,
						   .rate = 4266,
						   .stacks = 409,
						   .unwound_pct = 100,
						   .mean_ns = 1025};
	add_site(s, "fault", 191214, "je_malloc sdsnewlen createStringObject main _start");
	add_site(s, "fault", 64112, "memcpy sdscatlen addReply main _start");
	add_site(s, "major", 12, "dictFind lookupKey main _start");
}

void sample_io_hostile(struct snapshot *s, const char *text)
{
	s->npage_faults = 1;
	s->page_faults = (struct snap_page_faults){
		.count = UINT64_MAX, .major = UINT64_MAX, .rate = NAN, .mean_ns = UINT64_MAX};
	while (s->nblock < SNAP_BLOCK)
		add_request(s, &s->latency[s->nblock % 2], text, text, text);
	while (s->nfaults < SNAP_FAULTS) {
		struct snap_fault *f = &s->faults[s->nfaults++];

		snapshot_string(f->kind, sizeof(f->kind), text);
		f->count = UINT64_MAX;
		f->rate = -1e30;
		f->nframes = UINT32_MAX;
		memset(f->frames, 0xff, sizeof(f->frames));
	}
}
