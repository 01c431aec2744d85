/* SPDX-License-Identifier: Apache-2.0 */
/* block.bpf.h: latency of block requests by disk and operation. */
#ifndef PERFTOP_BLOCK_BPF_H
#define PERFTOP_BLOCK_BPF_H

/*
 * A request belongs to whoever submits it: block_io_start runs in that task. Linux before 6.5 has
 * no such place; there it is counted from block_rq_issue on, which mostly runs in the same task.
 */
__u32 block_by_issue = 0;	       /* set before the first attach */
const volatile __u32 block_copies = 1; /* histograms of a row; CPUs share them */

__u32 block_rows_used = 1; /* row 0 takes what finds no place */

/* Requests that began, until they end. A queue uses its requests again, so there are few. */
struct block_start {
	u64 ns, issue_ns; /* submitted; given to the device, 0 = not yet */
	u32 row, bytes;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONTRACT_BLOCK_REQUESTS);
	__type(key, u64); /* address of the request */
	__type(value, struct block_start);
} block_starts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CONTRACT_BLOCK_ROWS);
	__type(key, u64); /* struct contract_block_row's numbers */
	__type(value, u32);
} block_row_of SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CONTRACT_BLOCK_ROWS);
	__type(key, u32);
	__type(value, struct contract_block_row);
} block_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct contract_block);
} block_hist SEC(".maps");

/* Operations of blk_types.h, the same since Linux 4.10, and two flags of sched.h and blk-mq.h. */
enum { OP_READ, OP_WRITE, OP_FLUSH, OP_DISCARD, OP_SECURE_ERASE = 5, OP_ZONE_APPEND = 7 };
enum { OP_WRITE_ZEROES = 9, OP_MASK = 0xff };
enum { KERNEL_THREAD = 0x00200000, FLUSH_SEQ_BEFORE_6_10 = 1 << 4 };

static __always_inline u32 block_op(struct request *rq)
{
	switch (rq->cmd_flags & OP_MASK) {
	case OP_READ:
		return BLOCK_READ;
	case OP_WRITE: /* with nothing to write it is there for its flush */
		return rq->__data_len ? BLOCK_WRITE : BLOCK_FLUSH;
	case OP_ZONE_APPEND:
		return BLOCK_WRITE;
	case OP_FLUSH:
		return BLOCK_FLUSH;
	case OP_DISCARD:
	case OP_SECURE_ERASE:
	case OP_WRITE_ZEROES:
		return BLOCK_DISCARD;
	default:
		return BLOCK_OTHER;
	}
}

/* The row of a disk and operation, given out when it is first seen; 0 when all are taken. */
static __always_inline u32 block_find_row(struct request *rq, u32 op, bool writeback)
{
	struct gendisk *disk = BPF_CORE_READ(rq, q, disk);
	u32 major = BPF_CORE_READ(disk, major), minor = BPF_CORE_READ(disk, first_minor), fresh;
	u64 key = (u64)major << 40 | (u64)minor << 8 | op << 1 | writeback;
	u32 *known = bpf_map_lookup_elem(&block_row_of, &key);
	struct contract_block_row *row;

	if (known)
		return *known;
	if (block_rows_used >= CONTRACT_BLOCK_ROWS)
		return 0;
	fresh = __sync_fetch_and_add(&block_rows_used, 1);
	row = bpf_map_lookup_elem(&block_rows, &fresh);
	/* Two CPUs may see it first together: the loser's row stays empty. */
	if (!row || bpf_map_update_elem(&block_row_of, &key, &fresh, BPF_NOEXIST))
		return 0;
	row->writeback = writeback;
	BPF_CORE_READ_INTO(&row->disk, disk, disk_name);
	row->op = op;
	return fresh;
}

static __always_inline struct contract_block *block_counts(u32 row)
{
	u32 i = row * block_copies + bpf_get_smp_processor_id() % block_copies;

	return bpf_map_lookup_elem(&block_hist, &i);
}

static __always_inline void block_begin(struct request *rq, bool issued)
{
	struct task_struct *task = bpf_get_current_task_btf();
	bool ours = is_target(task->tgid);
	struct block_start start = {.bytes = rq->__data_len};
	u64 key = (u64)rq;
	u32 op = block_op(rq);

	/* What kernel threads write was dirtied by someone: by whom is not known. */
	if (!ours && (!(task->flags & KERNEL_THREAD) || op == BLOCK_READ))
		return;
	start.row = block_find_row(rq, op, !ours);
	start.ns = bpf_ktime_get_ns();
	start.issue_ns = issued ? start.ns : 0;
	/* One that is merged into another never ends by itself; its place is soon used again. */
	bpf_map_update_elem(&block_starts, &key, &start, BPF_ANY);
}

static __always_inline void block_end(struct request *rq)
{
	u64 key = (u64)rq, now;
	struct block_start *start = bpf_map_lookup_elem(&block_starts, &key);
	struct contract_block *c;

	if (!start)
		return;
	c = block_counts(start->row);
	now = bpf_ktime_get_ns();
	if (c) {
		__sync_fetch_and_add(&c->bytes, start->bytes);
		if (start->issue_ns)
			__sync_fetch_and_add(&c->queue_ns, start->issue_ns - start->ns);
		hist_record_atomic(&c->hist, now - start->ns);
	}
	bpf_map_delete_elem(&block_starts, &key);
}

SEC("tp_btf/block_io_start")
int BPF_PROG(on_block_start, struct request *rq)
{
	block_begin(rq, false);
	return 0;
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(on_block_issue, struct request *rq)
{
	struct block_start *start;
	u64 key = (u64)rq;

	start = bpf_map_lookup_elem(&block_starts, &key);
	if (block_by_issue)
		block_begin(rq, true);
	else if (start && !start->issue_ns)
		start->issue_ns = bpf_ktime_get_ns();
	return 0;
}

/* A write that brings its flush along ends in steps; the last one has the mark taken off. */
static __always_inline bool block_goes_on(struct request *rq)
{
	u32 mark = FLUSH_SEQ_BEFORE_6_10;

	if (bpf_core_enum_value_exists(enum rqf_flags, __RQF_FLUSH_SEQ))
		mark = 1u << bpf_core_enum_value(enum rqf_flags, __RQF_FLUSH_SEQ);
	return rq->rq_flags & mark;
}

SEC("tp_btf/block_io_done")
int BPF_PROG(on_block_done, struct request *rq)
{
	if (!block_goes_on(rq))
		block_end(rq);
	return 0;
}

/* In place of on_block_done, with block_by_issue. */
SEC("tp_btf/block_rq_complete")
int BPF_PROG(on_block_complete, struct request *rq)
{
	block_end(rq);
	return 0;
}

#endif
