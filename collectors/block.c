/* SPDX-License-Identifier: Apache-2.0 */
/* block.c: latency of block I/O by disk and operation, of the target's own requests. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/bpf.h"
#include "collectors/collector.h"
#include "collectors/latency.h"
#include "collectors/session.h"
#include "perftop.skel.h"
#include "probes/contract.h"

struct block {
	const struct contract_block_row *rows; /* CONTRACT_BLOCK_ROWS */
	const struct contract_block *counts;   /* CONTRACT_BLOCK_ROWS * copies */
	uint32_t copies;
	struct latency_track tracks[CONTRACT_BLOCK_ROWS];
	uint64_t base_bytes[CONTRACT_BLOCK_ROWS], base_queue_ns[CONTRACT_BLOCK_ROWS];
	struct latency_sum sum; /* scratch */
};

static const char *op_name(uint32_t op)
{
	static const char *const names[] = {
		[BLOCK_READ] = "read",	     [BLOCK_WRITE] = "write", [BLOCK_FLUSH] = "flush",
		[BLOCK_DISCARD] = "discard", [BLOCK_OTHER] = "other",
	};

	return op < sizeof(names) / sizeof(names[0]) && names[op] ? names[op] : "other";
}

/* Where the kernel says who submits a request (6.5); else from where it goes to the device. */
static int attach_programs(struct bpf *b, struct perftop_bpf *skel, char *why, size_t why_size)
{
	int err = bpf_attach_tp(b, "on_block_issue", why, why_size);

	if (err)
		return err;
	if (!bpf_attach_tp(b, "on_block_start", why, why_size))
		return bpf_attach_tp(b, "on_block_done", why, why_size);
	skel->bss->block_by_issue = 1;
	return bpf_attach_tp(b, "on_block_complete", why, why_size);
}

static int attach(struct session *se, struct block *bl, char *why, size_t why_size)
{
	struct bpf *b = session_bpf(se);
	struct perftop_bpf *skel;
	int err;

	if (!b) {
		snprintf(why, why_size, "needs eBPF");
		return -EPERM;
	}
	skel = bpf_skeleton(b);
	bl->copies = skel->rodata->block_copies;
	bl->rows = bpf_map_array(b, bpf_map__fd(skel->maps.block_rows), sizeof(*bl->rows),
				 CONTRACT_BLOCK_ROWS, false);
	bl->counts = bpf_map_array(b, bpf_map__fd(skel->maps.block_hist), sizeof(*bl->counts),
				   (size_t)CONTRACT_BLOCK_ROWS * bl->copies, false);
	if (!bl->rows || !bl->counts) {
		snprintf(why, why_size, "mapping the counts failed: %s", strerror(errno));
		return -ENOMEM;
	}
	err = attach_programs(b, skel, why, why_size);
	if (!err)
		session_section(se, "block", SECTION_LIVE, NULL,
				"%s by the target's threads; [writeback] is what kernel threads "
				"write for the whole machine: whose pages those were is not known",
				skel->bss->block_by_issue ? "requests given to the device"
							  : "requests submitted");
	return err;
}

static void block_stop(struct session *se, void *priv)
{
	struct block *bl = priv;

	for (uint32_t i = 0; i < CONTRACT_BLOCK_ROWS; i++)
		latency_track_fini(&bl->tracks[i]);
	free(bl);
}

static int block_start(struct session *se, void **priv)
{
	struct block *bl = calloc(1, sizeof(*bl));
	char why[SNAP_TEXT] = "out of memory";
	int err = bl ? attach(se, bl, why, sizeof(why)) : -ENOMEM;

	if (err) {
		session_section(se, "block", SECTION_ABSENT,
				err == -EPERM ? session_privilege_fix(se) : "", "%s", why);
		if (bl)
			block_stop(se, bl);
		return err;
	}
	*priv = bl;
	return 0;
}

struct block_totals {
	uint64_t bytes, queue_ns;
};

static struct block_totals sum_totals(const struct block *bl, uint32_t row)
{
	const struct contract_block *c = &bl->counts[(size_t)row * bl->copies];
	struct block_totals t = {0};

	for (uint32_t i = 0; i < bl->copies; i++) {
		t.bytes += __atomic_load_n(&c[i].bytes, __ATOMIC_RELAXED);
		t.queue_ns += __atomic_load_n(&c[i].queue_ns, __ATOMIC_RELAXED);
	}
	return t;
}

static void note_means(const struct block *bl, uint32_t i, struct snap_latency *row)
{
	struct block_totals t = sum_totals(bl, i);
	double n = (double)row->count, kib = (double)(t.bytes - bl->base_bytes[i]) / n / 1024;
	double queued = (double)(t.queue_ns - bl->base_queue_ns[i]) / n / 1e3;
	const char *unit = queued < 1000 ? "µs" : "ms";
	int at;

	/* A flush has no data, and goes to the device as a request of the kernel's own. */
	if (kib <= 0)
		return;
	at = snprintf(row->note, sizeof(row->note), "%.*f KiB each", kib < 100 ? 1 : 0, kib);
	/* Not known where requests are seen from the device on. */
	queued /= queued < 1000 ? 1 : 1e3;
	if (queued > 0)
		snprintf(row->note + at, sizeof(row->note) - (size_t)at, ", %.*f %s of it queued",
			 queued < 100 ? 1 : 0, queued, unit);
}

static void fill_row(struct session *se, struct block *bl, uint32_t i, struct snapshot *s)
{
	const struct contract_block *first = &bl->counts[(size_t)i * bl->copies];
	const struct contract_block_row *what = &bl->rows[i];
	struct snap_latency *row = &s->block[s->nblock];
	struct latency_source_now now;
	char disk[sizeof(what->disk) + 1] = "[more disks]";

	latency_sum_cpus(&bl->sum, &first->hist, bl->copies, sizeof(*first));
	if (!bl->sum.count || s->nblock == SNAP_BLOCK)
		return;
	if (what->op)
		snprintf(disk, sizeof(disk), "%.*s", (int)sizeof(what->disk), what->disk);
	snprintf(row->name, sizeof(row->name), "%s%s", what->writeback ? "[writeback] " : "", disk);
	/* A driver chose the name. */
	snapshot_string(row->name, sizeof(row->name), row->name);
	snprintf(row->module, sizeof(row->module), "%s", op_name(what->op));
	snprintf(row->unit, sizeof(row->unit), "ns");
	row->source = LATENCY_BLOCK;
	now = (struct latency_source_now){.count = bl->sum.count,
					  .sum = bl->sum.sum,
					  .max = bl->sum.max,
					  .bins = bl->sum.bins,
					  .nbins = bl->sum.nbins};
	if (latency_track_update(&bl->tracks[i], &now, session_interval_ns(se), s, row) ||
	    !row->count) {
		memset(row, 0, sizeof(*row));
		return;
	}
	row->calls = row->count;
	note_means(bl, i, row);
	s->nblock++;
}

/* The target's before the machine's, the most time first. */
static int compare_rows(const void *a, const void *b)
{
	const struct snap_latency *x = a, *y = b;
	int machine = (x->name[0] == '[') - (y->name[0] == '[');

	if (machine)
		return machine;
	return x->sum > y->sum ? -1 : x->sum < y->sum;
}

static void block_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct block *bl = priv;
	struct session_cost cost = {0};

	for (uint32_t i = 0; i < CONTRACT_BLOCK_ROWS; i++)
		fill_row(se, bl, i, s);
	for (uint32_t i = 0; i < s->nblock; i++)
		cost.events += (uint64_t)(s->block[i].rate * (double)session_interval_ns(se) / 1e9);
	qsort(s->block, s->nblock, sizeof(s->block[0]), compare_rows);
	session_add_cost(se, &cost);
}

static void block_reset(struct session *se, void *priv)
{
	struct block *bl = priv;

	for (uint32_t i = 0; i < CONTRACT_BLOCK_ROWS; i++) {
		struct block_totals t = sum_totals(bl, i);

		latency_track_reset(&bl->tracks[i]);
		bl->base_bytes[i] = t.bytes;
		bl->base_queue_ns[i] = t.queue_ns;
	}
}

const struct collector collector_block = {
	.name = "block",
	.help = "latency of block I/O by disk and operation",
	.start = block_start,
	.tick = block_tick,
	.reset = block_reset,
	.stop = block_stop,
};
