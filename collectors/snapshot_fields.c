/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot_fields.c: each row type described once; JSON, SQLite and replay follow from it.
 * Long because it is one table: a field that is not in it is not in any of these.
 */
#include "collectors/snapshot.h"

#include <string.h>

const char *section_status_name(uint32_t status)
{
	static const char *const names[] = {"absent", "degraded", "live"};

	return status < 3 ? names[status] : "?";
}

const char *target_state_name(uint32_t state)
{
	static const char *const names[] = {"none", "running", "stopped", "zombie", "exited"};

	return state < 5 ? names[state] : "?";
}

const char *latency_source_name(uint32_t source)
{
	static const char *const names[] = {"uprobe", "usdt",	"syscall",   "counter",
					    "block",  "socket", "in-process"};

	return source < sizeof(names) / sizeof(names[0]) ? names[source] : "?";
}

const char *blocked_reason_name(uint32_t reason)
{
	static const char *const names[] = {"futex", "io",    "page_fault", "sleep",
					    "net",   "other", "runq",	    "aio"};

	return reason < BLOCKED_REASONS ? names[reason] : "?";
}

const char *alert_severity_name(uint32_t severity)
{
	static const char *const names[] = {"info", "warning", "critical"};

	return severity < 3 ? names[severity] : "?";
}

const char *heap_mode_name(uint32_t mode)
{
	static const char *const names[] = {"off", "proc", "sample", "trace"};

	return mode < 4 ? names[mode] : "?";
}

const char *heap_verdict_name(uint32_t verdict)
{
	static const char *const names[] = {"unknown", "steady",     "growing",
					    "leaking", "fragmented", "cached"};

	return verdict < 6 ? names[verdict] : "?";
}

static const char *counter_kind_name(uint32_t kind)
{
	return kind == COUNTER_SUM ? "counter" : kind == COUNTER_GAUGE ? "gauge" : "?";
}

#define F(row, member, type)                                         \
	{                                                            \
#member, offsetof(struct row, member), 0, type, NULL \
	}
#define FS(row, member)                                                                   \
	{                                                                                 \
#member, offsetof(struct row, member), sizeof(((struct row *)0)->member), \
			FIELD_STR, NULL                                                   \
	}
/* The row's nframes and frames, which follow each other. */
#define FRAMES(row)                                                                      \
	{                                                                                \
		"frames", offsetof(struct row, nframes), SNAP_FRAMES, FIELD_FRAMES, NULL \
	}
#define FE(row, member, names)                                              \
	{                                                                   \
#member, offsetof(struct row, member), 0, FIELD_ENUM, names \
	}

static const struct field target_fields[] = {
	F(snap_target, pid, FIELD_I32),
	FS(snap_target, comm),
	FE(snap_target, state, target_state_name),
	F(snap_target, threads, FIELD_U32),
	F(snap_target, children, FIELD_U32),
	F(snap_target, age_ns, FIELD_U64),
	FS(snap_target, cmdline),
	FS(snap_target, exe),
	FS(snap_target, tier),
	FS(snap_target, note),
};

static const struct field section_fields[] = {
	FS(snap_section, name),
	FE(snap_section, status, section_status_name),
	FS(snap_section, reason),
	FS(snap_section, fix),
};

static const struct field proc_fields[] = {
	F(snap_proc, user_pct, FIELD_F64),
	F(snap_proc, sys_pct, FIELD_F64),
	F(snap_proc, rss_bytes, FIELD_U64),
	F(snap_proc, rss_peak_bytes, FIELD_U64),
	F(snap_proc, anon_bytes, FIELD_U64),
	F(snap_proc, file_bytes, FIELD_U64),
	F(snap_proc, shmem_bytes, FIELD_U64),
	F(snap_proc, swap_bytes, FIELD_U64),
	F(snap_proc, vsz_bytes, FIELD_U64),
	F(snap_proc, minflt, FIELD_U64),
	F(snap_proc, majflt, FIELD_U64),
	F(snap_proc, minflt_rate, FIELD_F64),
	F(snap_proc, majflt_rate, FIELD_F64),
	F(snap_proc, read_bytes, FIELD_U64),
	F(snap_proc, write_bytes, FIELD_U64),
	F(snap_proc, read_rate, FIELD_F64),
	F(snap_proc, write_rate, FIELD_F64),
	F(snap_proc, ctxsw_voluntary, FIELD_U64),
	F(snap_proc, ctxsw_involuntary, FIELD_U64),
	F(snap_proc, ctxsw_voluntary_rate, FIELD_F64),
	F(snap_proc, ctxsw_involuntary_rate, FIELD_F64),
	F(snap_proc, fds, FIELD_U32),
	F(snap_proc, ncpu, FIELD_U32),
	F(snap_proc, nice, FIELD_I32),
	F(snap_proc, cpus_allowed, FIELD_U32),
	FS(snap_proc, cpus_list),
	F(snap_proc, machine_cpu_pct, FIELD_F64),
	F(snap_proc, machine_steal_pct, FIELD_F64),
	F(snap_proc, quota_cpus, FIELD_F64),
	F(snap_proc, throttled_pct, FIELD_F64),
	FS(snap_proc, quota_group),
	F(snap_proc, memory_limit_bytes, FIELD_U64),
	F(snap_proc, memory_group_bytes, FIELD_U64),
	F(snap_proc, memory_limit_rate, FIELD_F64),
	FS(snap_proc, memory_group),
	F(snap_proc, mem_total_bytes, FIELD_U64),
	F(snap_proc, mem_available_bytes, FIELD_U64),
};

static const struct field latency_fields[] = {
	FS(snap_latency, name),
	FS(snap_latency, module),
	FE(snap_latency, source, latency_source_name),
	FS(snap_latency, unit),
	F(snap_latency, count, FIELD_U64),
	F(snap_latency, rate, FIELD_F64),
	F(snap_latency, p50, FIELD_U64),
	F(snap_latency, p90, FIELD_U64),
	F(snap_latency, p99, FIELD_U64),
	F(snap_latency, p999, FIELD_U64),
	F(snap_latency, max, FIELD_U64),
	F(snap_latency, mean, FIELD_U64),
	F(snap_latency, sum, FIELD_U64),
	F(snap_latency, sampled, FIELD_U64),
	F(snap_latency, recent_p50, FIELD_U64),
	F(snap_latency, recent_p99, FIELD_U64),
	F(snap_latency, recent_max, FIELD_U64),
	F(snap_latency, target, FIELD_U64),
	F(snap_latency, met, FIELD_U32),
	F(snap_latency, calls, FIELD_U64),
	F(snap_latency, cost_ns, FIELD_F64),
	F(snap_latency, failed, FIELD_U64),
	F(snap_latency, failed_pct, FIELD_F64),
	FS(snap_latency, error),
	FS(snap_latency, file),
	FS(snap_latency, note),
};

static const struct field cpu_fields[] = {
	F(snap_cpu, user_pct, FIELD_F64),      F(snap_cpu, sys_pct, FIELD_F64),
	F(snap_cpu, runq_wait_pct, FIELD_F64), F(snap_cpu, samples, FIELD_U64),
	F(snap_cpu, samples_lost, FIELD_U64),  F(snap_cpu, hz, FIELD_F64),
	F(snap_cpu, unwound_pct, FIELD_F64),   F(snap_cpu, kernel_samples, FIELD_U64),
};

static const struct field function_fields[] = {
	FS(snap_function, name),
	FS(snap_function, module),
	F(snap_function, self_pct, FIELD_F64),
	F(snap_function, total_pct, FIELD_F64),
	F(snap_function, recent_pct, FIELD_F64),
	F(snap_function, self, FIELD_U64),
	F(snap_function, total, FIELD_U64),
};

static const struct field blocked_fields[] = {
	FE(snap_blocked, reason, blocked_reason_name),
	F(snap_blocked, ns, FIELD_U64),
	F(snap_blocked, count, FIELD_U64),
	F(snap_blocked, pct, FIELD_F64),
	F(snap_blocked, p50, FIELD_U64),
	F(snap_blocked, p99, FIELD_U64),
	F(snap_blocked, max, FIELD_U64),
};

static const struct field lock_fields[] = {
	F(snap_lock, addr, FIELD_U64),
	FE(snap_lock, reason, blocked_reason_name),
	F(snap_lock, waits, FIELD_U64),
	F(snap_lock, wait_ns, FIELD_U64),
	F(snap_lock, max_ns, FIELD_U64),
	F(snap_lock, pct, FIELD_F64),
	F(snap_lock, pid, FIELD_I32),
	F(snap_lock, owner_tid, FIELD_I32),
	F(snap_lock, is_mutex, FIELD_U32),
	F(snap_lock, p50, FIELD_U64),
	F(snap_lock, p99, FIELD_U64),
	FS(snap_lock, kind),
	FS(snap_lock, name),
	FS(snap_lock, site),
};

static const struct field deadlock_fields[] = {
	FS(snap_deadlock, kind),
	F(snap_deadlock, pid, FIELD_I32),
	F(snap_deadlock, threads, FIELD_U32),
	F(snap_deadlock, behind, FIELD_U32),
	F(snap_deadlock, ns, FIELD_U64),
	FS(snap_deadlock, words),
};

static const struct field stack_fields[] = {
	F(snap_stack, count, FIELD_U64),
	FRAMES(snap_stack),
};

static const struct field wait_stack_fields[] = {
	FE(snap_wait_stack, reason, blocked_reason_name),
	F(snap_wait_stack, ns, FIELD_U64),
	F(snap_wait_stack, count, FIELD_U64),
	F(snap_wait_stack, max_ns, FIELD_U64),
	F(snap_wait_stack, tid, FIELD_I32),
	FS(snap_wait_stack, kind),
	FS(snap_wait_stack, waker),
	FRAMES(snap_wait_stack),
};

static const struct field tail_fields[] = {
	FS(snap_tail, name),
	F(snap_tail, time_ns, FIELD_U64),
	F(snap_tail, ns, FIELD_U64),
	F(snap_tail, threshold_ns, FIELD_U64),
	F(snap_tail, tid, FIELD_I32),
	F(snap_tail, cpu_ns, FIELD_U64),
	F(snap_tail, runq_ns, FIELD_U64),
	F(snap_tail, blocked_ns, FIELD_U64),
	FE(snap_tail, reason, blocked_reason_name),
	F(snap_tail, longest_ns, FIELD_U64),
	FS(snap_tail, what),
	FS(snap_tail, waker),
	F(snap_tail, minflt, FIELD_U64),
	F(snap_tail, majflt, FIELD_U64),
	FRAMES(snap_tail),
};

static const struct field page_fault_fields[] = {
	F(snap_page_faults, count, FIELD_U64),	     F(snap_page_faults, kernel_count, FIELD_U64),
	F(snap_page_faults, major, FIELD_U64),	     F(snap_page_faults, rate, FIELD_F64),
	F(snap_page_faults, stacks, FIELD_U64),	     F(snap_page_faults, lost, FIELD_U64),
	F(snap_page_faults, unwound_pct, FIELD_F64), F(snap_page_faults, mean_ns, FIELD_U64),
};

static const struct field fault_fields[] = {
	FS(snap_fault, kind),
	F(snap_fault, count, FIELD_U64),
	F(snap_fault, rate, FIELD_F64),
	FRAMES(snap_fault),
};

static const struct field socket_fields[] = {
	F(snap_socket, fd, FIELD_I32),
	FS(snap_socket, name),
	FS(snap_socket, peer),
	F(snap_socket, waits, FIELD_U64),
	F(snap_socket, wait_ns, FIELD_U64),
	F(snap_socket, max_ns, FIELD_U64),
	F(snap_socket, pct, FIELD_F64),
	F(snap_socket, rtt_ns, FIELD_U64),
	F(snap_socket, retransmits, FIELD_U64),
	F(snap_socket, out_of_order, FIELD_U64),
	F(snap_socket, loss_pct, FIELD_F64),
};

static const struct field process_fields[] = {
	F(snap_process, pid, FIELD_I32),
	F(snap_process, parent, FIELD_I32),
	FS(snap_process, comm),
	F(snap_process, state, FIELD_CHAR),
	F(snap_process, cpu_pct, FIELD_F64),
	F(snap_process, rss_bytes, FIELD_U64),
	F(snap_process, threads, FIELD_U32),
};

static const struct field heap_fields[] = {
	FE(snap_heap, mode, heap_mode_name),	    FS(snap_heap, allocator),
	FE(snap_heap, verdict, heap_verdict_name),  FS(snap_heap, words),
	F(snap_heap, rss_bytes, FIELD_U64),	    F(snap_heap, pss_bytes, FIELD_U64),
	F(snap_heap, anon_bytes, FIELD_U64),	    F(snap_heap, obtained_bytes, FIELD_U64),
	F(snap_heap, live_bytes, FIELD_U64),	    F(snap_heap, retained_bytes, FIELD_U64),
	F(snap_heap, live_at_most, FIELD_U32),	    F(snap_heap, mmapped_bytes, FIELD_U64),
	F(snap_heap, live_count, FIELD_U64),	    F(snap_heap, arenas, FIELD_U32),
	F(snap_heap, alloc_rate, FIELD_F64),	    F(snap_heap, free_rate, FIELD_F64),
	F(snap_heap, alloc_bytes_rate, FIELD_F64),  F(snap_heap, growth_bytes_s, FIELD_F64),
	F(snap_heap, growth_of_live, FIELD_U32),    F(snap_heap, brk_rate, FIELD_F64),
	F(snap_heap, mmap_rate, FIELD_F64),	    F(snap_heap, munmap_rate, FIELD_F64),
	F(snap_heap, madvise_rate, FIELD_F64),	    F(snap_heap, mapped_rate, FIELD_F64),
	F(snap_heap, unmapped_rate, FIELD_F64),	    F(snap_heap, fault_ns, FIELD_U64),
	F(snap_heap, sample_mean_bytes, FIELD_U64), F(snap_heap, samples, FIELD_U64),
	F(snap_heap, dropped, FIELD_U64),
};

static const struct field pause_fields[] = {
	F(snap_pauses, threshold_ns, FIELD_U64), F(snap_pauses, count, FIELD_U64),
	F(snap_pauses, p50, FIELD_U64),		 F(snap_pauses, p99, FIELD_U64),
	F(snap_pauses, max, FIELD_U64),
};

static const struct field heap_size_fields[] = {
	F(snap_heap_size, size_max, FIELD_U64),
	F(snap_heap_size, live_count, FIELD_U64),
	F(snap_heap_size, live_bytes, FIELD_U64),
	F(snap_heap_size, allocs, FIELD_U64),
};

static const struct field heap_age_fields[] = {
	F(snap_heap_age, max_ns, FIELD_U64),	  F(snap_heap_age, live_count, FIELD_U64),
	F(snap_heap_age, live_bytes, FIELD_U64),  F(snap_heap_age, freed_count, FIELD_U64),
	F(snap_heap_age, freed_bytes, FIELD_U64),
};

static const struct field heap_site_fields[] = {
	F(snap_heap_site, bytes, FIELD_U64),
	F(snap_heap_site, count, FIELD_U64),
	F(snap_heap_site, total_bytes, FIELD_U64),
	F(snap_heap_site, total_count, FIELD_U64),
	F(snap_heap_site, rate, FIELD_F64),
	F(snap_heap_site, growth_bytes_s, FIELD_F64),
	F(snap_heap_site, age_p50_ns, FIELD_U64),
	F(snap_heap_site, leak_score, FIELD_F64),
	FRAMES(snap_heap_site),
};

static const struct field reclaim_fields[] = {
	F(snap_reclaim, pending, FIELD_U64),	F(snap_reclaim, peak, FIELD_U64),
	F(snap_reclaim, dispatched, FIELD_U64), F(snap_reclaim, stalls, FIELD_U64),
	F(snap_reclaim, stall_ns, FIELD_U64),	F(snap_reclaim, dispatched_rate, FIELD_F64),
};

static const struct field event_loop_fields[] = {
	F(snap_event_loop, seen_all, FIELD_U32),
	F(snap_event_loop, turns, FIELD_U64),
	F(snap_event_loop, rate, FIELD_F64),
	F(snap_event_loop, p50, FIELD_U64),
	F(snap_event_loop, p99, FIELD_U64),
	F(snap_event_loop, max, FIELD_U64),
	F(snap_event_loop, longest_ns, FIELD_U64),
	F(snap_event_loop, held_ns, FIELD_U64),
	F(snap_event_loop, held_cpu_ns, FIELD_U64),
	F(snap_event_loop, held_time_ns, FIELD_U64),
	F(snap_event_loop, held_at_least, FIELD_U32),
	F(snap_event_loop, held_goes_on, FIELD_U32),
	F(snap_event_loop, held_tid, FIELD_I32),
	FS(snap_event_loop, held_comm),
	F(snap_event_loop, held_samples, FIELD_U32),
	F(snap_event_loop, held_function_samples, FIELD_U32),
	FS(snap_event_loop, held_function),
};

static const struct field thread_fields[] = {
	F(snap_thread, tid, FIELD_I32),
	FS(snap_thread, comm),
	F(snap_thread, state, FIELD_CHAR),
	F(snap_thread, cpu_pct, FIELD_F64),
	F(snap_thread, runq_pct, FIELD_F64),
	F(snap_thread, blocked_pct, FIELD_F64),
	F(snap_thread, turn_ns, FIELD_U64),
	F(snap_thread, turn_cpu_ns, FIELD_U64),
	FS(snap_thread, top),
};

static const struct field counter_fields[] = {
	FS(snap_counter, name),
	FS(snap_counter, unit),
	FS(snap_counter, help),
	FE(snap_counter, kind, counter_kind_name),
	F(snap_counter, value, FIELD_I64),
	F(snap_counter, rate, FIELD_F64),
};

static const struct field kernel_fields[] = {
	FS(snap_kernel, name),
	FS(snap_kernel, isa),
	F(snap_kernel, calls, FIELD_U64),
	F(snap_kernel, rate, FIELD_F64),
	F(snap_kernel, gflops, FIELD_F64),
	F(snap_kernel, gbytes_s, FIELD_F64),
	F(snap_kernel, pct_peak, FIELD_F64),
	F(snap_kernel, p50, FIELD_U64),
	F(snap_kernel, p99, FIELD_U64),
	F(snap_kernel, sampled, FIELD_U64),
	F(snap_kernel, vs_scalar, FIELD_F64),
	F(snap_kernel, vs_standard, FIELD_F64),
};

static const struct field trajectory_fields[] = {
	F(snap_trajectory, capacity, FIELD_U64),     F(snap_trajectory, used, FIELD_U64),
	F(snap_trajectory, recorded, FIELD_U64),     F(snap_trajectory, dropped, FIELD_U64),
	F(snap_trajectory, drained, FIELD_U64),	     F(snap_trajectory, contention_pct, FIELD_F64),
	F(snap_trajectory, drained_rate, FIELD_F64), F(snap_trajectory, recorded_rate, FIELD_F64),
	F(snap_trajectory, dropped_rate, FIELD_F64),
};

static const struct field learning_fields[] = {
	F(snap_learning, reward, FIELD_F64),	    F(snap_learning, update_rate, FIELD_F64),
	F(snap_learning, patterns, FIELD_U64),	    F(snap_learning, memories, FIELD_U64),
	F(snap_learning, tasks, FIELD_U64),	    F(snap_learning, pattern_found_pct, FIELD_F64),
	F(snap_learning, dreams, FIELD_U64),	    F(snap_learning, dreams_kept, FIELD_U64),
	F(snap_learning, links, FIELD_U64),	    F(snap_learning, staged, FIELD_U64),
	F(snap_learning, save_failures, FIELD_U64),
};

static const struct field loop_fields[] = {
	F(snap_loop, count, FIELD_U64), F(snap_loop, p50, FIELD_U64),  F(snap_loop, p99, FIELD_U64),
	F(snap_loop, max, FIELD_U64),	F(snap_loop, rate, FIELD_F64),
};

static const struct field alert_fields[] = {
	FS(snap_alert, id),
	FS(snap_alert, rule),
	FE(snap_alert, severity, alert_severity_name),
	FS(snap_alert, subject),
	F(snap_alert, value, FIELD_F64),
	F(snap_alert, threshold, FIELD_F64),
	F(snap_alert, since_ns, FIELD_U64),
	FS(snap_alert, evidence),
	FS(snap_alert, advice),
};

static const struct field cost_fields[] = {
	F(snap_cost, self_cpu_pct, FIELD_F64), F(snap_cost, self_rss_bytes, FIELD_U64),
	F(snap_cost, bpf_ns_per_s, FIELD_U64), F(snap_cost, target_pct_est, FIELD_F64),
	F(snap_cost, events, FIELD_U64),       F(snap_cost, dropped, FIELD_U64),
	F(snap_cost, throttled, FIELD_U64),    F(snap_cost, dropped_total, FIELD_U64),
};

static const struct field event_fields[] = {
	F(snap_event, time_ns, FIELD_U64),
	FS(snap_event, text),
};

#define N(a) (uint32_t)(sizeof(a) / sizeof((a)[0]))
#define ROWS_IN(inside, key, name, array, max, count, fields)               \
	{                                                                   \
		name, inside, key, offsetof(struct snapshot, array),        \
			sizeof(((struct snapshot *)0)->array[0]), max,      \
			offsetof(struct snapshot, count), fields, N(fields) \
	}
#define ROWS(name, array, max, count, fields) ROWS_IN(NULL, NULL, name, array, max, count, fields)
#define ONE(name, member, fields)                                                       \
	{                                                                               \
		name, NULL, NULL, offsetof(struct snapshot, member),                    \
			sizeof(((struct snapshot *)0)->member), 1, 0, fields, N(fields) \
	}
/* There in some snapshots only: `count` is 0 or 1. */
#define MAYBE_IN(inside, key, name, member, count, fields)                  \
	{                                                                   \
		name, inside, key, offsetof(struct snapshot, member),       \
			sizeof(((struct snapshot *)0)->member), 1,          \
			offsetof(struct snapshot, count), fields, N(fields) \
	}
#define MAYBE(name, member, count, fields) MAYBE_IN(NULL, NULL, name, member, count, fields)

const struct table snapshot_tables[] = {
	ONE("target", target, target_fields),
	ROWS("sections", sections, SNAP_SECTIONS, nsections, section_fields),
	ROWS("processes", processes, SNAP_PROCESSES, nprocesses, process_fields),
	ONE("proc", proc, proc_fields),
	ONE("cpu", cpu, cpu_fields),
	ROWS_IN("cpu", "functions", "functions", functions, SNAP_FUNCTIONS, nfunctions,
		function_fields),
	ROWS_IN("cpu", "stacks", "stacks", stacks, SNAP_STACKS, nstacks, stack_fields),
	ONE("cost", cost, cost_fields),
	ROWS("latency", latency, SNAP_LATENCY, nlatency, latency_fields),
	ROWS("tails", tails, SNAP_TAILS, ntails, tail_fields),
	ROWS("syscalls", syscalls, SNAP_SYSCALLS, nsyscalls, latency_fields),
	ROWS("block", block, SNAP_BLOCK, nblock, latency_fields),
	ROWS("blocked", blocked, SNAP_BLOCKED, nblocked, blocked_fields),
	ROWS_IN("blocked", "locks", "locks", locks, SNAP_LOCKS, nlocks, lock_fields),
	ROWS_IN("blocked", "stacks", "wait_stacks", wait_stacks, SNAP_WAIT_STACKS, nwait_stacks,
		wait_stack_fields),
	ROWS_IN("blocked", "sockets", "sockets", sockets, SNAP_SOCKETS, nsockets, socket_fields),
	MAYBE_IN("blocked", "deadlock", "deadlock", deadlock, ndeadlock, deadlock_fields),
	MAYBE("event_loop", event_loop, nevent_loop, event_loop_fields),
	MAYBE("page_faults", page_faults, npage_faults, page_fault_fields),
	ROWS("faults", faults, SNAP_FAULTS, nfaults, fault_fields),
	MAYBE("heap", heap, nheap, heap_fields),
	MAYBE_IN("heap", "pauses", "heap_pauses", heap_pauses, nheap, pause_fields),
	ROWS_IN("heap", "sizes", "heap_sizes", heap_sizes, SNAP_HEAP_SIZES, nheap_sizes,
		heap_size_fields),
	ROWS_IN("heap", "lifetimes", "heap_ages", heap_ages, SNAP_HEAP_AGES, nheap_ages,
		heap_age_fields),
	ROWS_IN("heap", "sites", "heap_sites", heap_sites, SNAP_HEAP_SITES, nheap_sites,
		heap_site_fields),
	ROWS("threads", threads, SNAP_THREADS, nthreads, thread_fields),
	ROWS("counters", counters, SNAP_COUNTERS, ncounters, counter_fields),
	ROWS("kernels", kernels, SNAP_KERNELS, nkernels, kernel_fields),
	ROWS("alerts", alerts, SNAP_ALERTS, nalerts, alert_fields),
	ROWS("events", events, SNAP_EVENTS, nevents, event_fields),
	MAYBE("trajectory", trajectory, ntrajectory, trajectory_fields),
	MAYBE("learning", learning, nlearning, learning_fields),
	MAYBE_IN("learning", "loop_a", "loop_a", loop_a, nlearning, loop_fields),
	MAYBE_IN("learning", "loop_b", "loop_b", loop_b, nlearning, loop_fields),
	MAYBE_IN("learning", "loop_c", "loop_c", loop_c, nlearning, loop_fields),
	MAYBE("reclaim", reclaim, nreclaim, reclaim_fields),
};
const uint32_t snapshot_ntables = N(snapshot_tables);

const struct table *snapshot_table(const char *name)
{
	for (uint32_t i = 0; i < snapshot_ntables; i++)
		if (!strcmp(snapshot_tables[i].name, name))
			return &snapshot_tables[i];
	return NULL;
}
