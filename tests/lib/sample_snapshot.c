/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample_snapshot.c: snapshots as real targets give them. Long because each kind of target is one.
 */
#include "tests/lib/sample_snapshot.h"
#include "tests/lib/sample_heap.h"
#include "tests/lib/sample_io.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "probes/bucket.h"

/* A number that wanders between lo and hi with the tick, without any random source. */
static double wander(uint32_t tick, double lo, double hi, double phase)
{
	return lo + (hi - lo) * (0.5 + 0.3 * sin(tick * 0.37 + phase) +
				 0.2 * sin(tick * 0.11 + phase * 2));
}

/* A log-normal body with a small bump a decade above it, as cache misses give. */
static void add_bins(struct snapshot *s, struct snap_latency *l, double median, double sigma)
{
	uint64_t total = 0;

	l->bin_first = s->nbins;
	for (uint32_t b = 0; b < BUCKET_COUNT && s->nbins < SNAP_BINS; b++) {
		double x = (log((double)bucket_mid(b) + 1) - log(median)) / sigma;
		double y = (log((double)bucket_mid(b) + 1) - log(median * 12)) / 0.25;
		double width = (double)bucket_width(b) / ((double)bucket_mid(b) + 1);
		uint32_t n = (uint32_t)((exp(-x * x / 2) + 0.012 * exp(-y * y / 2)) * width *
					(double)l->count / (sigma * 2.5));

		if (!n)
			continue;
		s->bins[s->nbins++] = (struct snap_bin){b, n};
		total += n;
		l->max = bucket_mid(b);
	}
	l->bin_count = s->nbins - l->bin_first;
	l->count = total;
	l->sampled = total;
	l->calls = total;
	l->p50 = snapshot_quantile(&s->bins[l->bin_first], l->bin_count, total, 0.5);
	l->p90 = snapshot_quantile(&s->bins[l->bin_first], l->bin_count, total, 0.9);
	l->p99 = snapshot_quantile(&s->bins[l->bin_first], l->bin_count, total, 0.99);
	l->p999 = snapshot_quantile(&s->bins[l->bin_first], l->bin_count, total, 0.999);
	l->mean = (uint64_t)(median * 1.1);
	l->sum = l->mean * total;
}

static struct snap_latency *fill_latency(struct snapshot *s, struct snap_latency *l, uint32_t tick,
					 const char *name, const char *module, double rate,
					 double median, double sigma)
{
	snapshot_string(l->name, sizeof(l->name), name);
	snapshot_string(l->module, sizeof(l->module), module);
	strcpy(l->unit, "ns");
	l->rate = wander(tick, rate * 0.9, rate * 1.1, median);
	l->count = (uint64_t)(rate * 60) + (uint64_t)(rate * tick);
	add_bins(s, l, median, sigma);
	l->recent_p50 = l->p50;
	l->recent_p99 = (uint64_t)wander(tick, (double)l->p99 * 0.7, (double)l->p99 * 1.4, median);
	l->recent_max = l->max;
	return l;
}

static struct snap_latency *add_latency(struct snapshot *s, uint32_t tick, const char *name,
					const char *module, double rate, double median,
					double sigma)
{
	struct snap_latency *l = &s->latency[s->nlatency++];

	l->source = LATENCY_UPROBE;
	l->cost_ns = 890;
	return fill_latency(s, l, tick, name, module, rate, median, sigma);
}

static struct snap_latency *add_syscall(struct snapshot *s, uint32_t tick, const char *name,
					double rate, double median, double sigma)
{
	struct snap_latency *l = &s->syscalls[s->nsyscalls++];

	l->source = LATENCY_SYSCALL;
	return fill_latency(s, l, tick, name, "", rate, median, sigma);
}

static void add_function(struct snapshot *s, const char *name, const char *module, double self,
			 double total)
{
	struct snap_function *f = &s->functions[s->nfunctions++];

	snapshot_string(f->name, sizeof(f->name), name);
	snapshot_string(f->module, sizeof(f->module), module);
	f->self_pct = f->recent_pct = self;
	f->total_pct = total;
	f->self = (uint64_t)(self * (double)s->cpu.samples / 100);
	f->total = (uint64_t)(total * (double)s->cpu.samples / 100);
}

/* Names separated by spaces, leaf first. */
static void add_stack(struct snapshot *s, double pct, const char *module, const char *names)
{
	struct snap_stack *st = &s->stacks[s->nstacks++];
	char word[64];
	int n;

	st->count = (uint64_t)(pct * (double)s->cpu.samples / 100);
	for (; sscanf(names, " %63s%n", word, &n) == 1; names += n)
		st->frames[st->nframes++] = snapshot_symbol(s, word, module);
}

static void add_thread(struct snapshot *s, int tid, const char *comm, char state, double cpu,
		       double runq, const char *top)
{
	struct snap_thread *t = &s->threads[s->nthreads++];

	t->tid = tid;
	snapshot_string(t->comm, sizeof(t->comm), comm);
	t->state = state;
	t->cpu_pct = cpu;
	t->runq_pct = runq;
	t->blocked_pct = 100 - cpu - runq;
	snapshot_string(t->top, sizeof(t->top), top);
}

static void add_blocked(struct snapshot *s, uint32_t reason, double pct, uint64_t count)
{
	struct snap_blocked *b = &s->blocked[s->nblocked++];

	b->reason = reason;
	b->pct = pct;
	b->count = count;
	b->ns = (uint64_t)(pct * 6e8);
	b->p50 = count ? b->ns / count / 2 : 0;
	b->p99 = b->p50 * 9;
	b->max = b->p50 * 40;
}

static void add_lock(struct snapshot *s, uint64_t addr, double pct, uint64_t waits, int owner,
		     bool mutex)
{
	s->locks[s->nlocks++] = (struct snap_lock){.addr = addr,
						   .pct = pct,
						   .waits = waits,
						   .wait_ns = (uint64_t)(pct * 6e8),
						   .max_ns = 41300000,
						   .owner_tid = owner,
						   .is_mutex = mutex};
}

/* What the stacks tell of the lock added last. */
static void name_lock(struct snapshot *s, const char *kind, const char *name, const char *site)
{
	struct snap_lock *l = &s->locks[s->nlocks - 1];

	snapshot_string(l->kind, sizeof(l->kind), kind);
	snapshot_string(l->name, sizeof(l->name), name);
	snapshot_string(l->site, sizeof(l->site), site);
	l->p50 = l->wait_ns / (l->waits + 1);
	l->p99 = 3 * l->p50;
	if (l->max_ns < l->p99)
		l->max_ns = 2 * l->p99;
}

/* leaf first, up to NULL; every other frame is the C library's. */
static void add_wait_stack(struct snapshot *s, uint32_t reason, double share, uint64_t count,
			   const char *kind, const char *waker, const char *const *frames)
{
	struct snap_wait_stack *st = &s->wait_stacks[s->nwait_stacks++];

	st->reason = reason;
	st->ns = (uint64_t)(share * (double)s->since_ns);
	st->count = count;
	st->max_ns = 41300000;
	st->tid = 4713;
	snapshot_string(st->kind, sizeof(st->kind), kind);
	snapshot_string(st->waker, sizeof(st->waker), waker);
	for (; *frames; frames++)
		st->frames[st->nframes++] = snapshot_symbol(
			s, *frames, strncmp(*frames, "__", 2) ? "imageserver" : "libc.so.6");
}

static void add_counter(struct snapshot *s, const char *name, const char *unit, const char *help,
			enum counter_kind kind, int64_t value, double rate)
{
	struct snap_counter *c = &s->counters[s->ncounters++];

	snapshot_string(c->name, sizeof(c->name), name);
	snapshot_string(c->unit, sizeof(c->unit), unit);
	snapshot_string(c->help, sizeof(c->help), help);
	c->kind = kind;
	c->value = value;
	c->rate = rate;
}

static void add_alert(struct snapshot *s, const char *rule, uint32_t severity, const char *subject,
		      const char *evidence, const char *advice)
{
	struct snap_alert *a = &s->alerts[s->nalerts++];

	snprintf(a->id, sizeof(a->id), "%s", rule);
	snprintf(a->rule, sizeof(a->rule), "%s", rule);
	a->severity = severity;
	a->since_ns = s->time_ns - 42000000000u;
	snapshot_string(a->subject, sizeof(a->subject), subject);
	snapshot_string(a->evidence, sizeof(a->evidence), evidence);
	snapshot_string(a->advice, sizeof(a->advice), advice);
}

static void add_event(struct snapshot *s, uint64_t ago_ns, const char *text)
{
	struct snap_event *e = &s->events[s->nevents++];

	e->time_ns = s->time_ns - ago_ns;
	snapshot_string(e->text, sizeof(e->text), text);
}

static void fill_common(struct snapshot *s, uint32_t tick, const char *comm, const char *cmdline,
			uint32_t threads)
{
	static const char *const names[] = {"bpf",	"proc",	  "blocked",  "threads", "cpu",
					    "syscalls", "func",	  "counters", "engine",	 "cost",
					    "block",	"faults", NULL};

	s->seq = tick;
	s->time_ns = 1700000000000000000u + tick * 1000000000ull;
	s->mono_ns = tick * 1000000000ull;
	s->interval_ns = 1000000000;
	s->since_ns = 60000000000u + tick * 1000000000ull;
	s->target.pid = 4711;
	snapshot_string(s->target.comm, sizeof(s->target.comm), comm);
	snapshot_string(s->target.cmdline, sizeof(s->target.cmdline), cmdline);
	s->target.state = TARGET_RUNNING;
	s->target.age_ns = 11520000000000u;
	s->target.threads = threads;
	strcpy(s->target.tier, "root");
	for (int i = 0; names[i]; i++)
		snapshot_set_section(s, names[i], SECTION_LIVE, NULL, NULL);
	s->proc.rss_bytes = (uint64_t)wander(tick, 85e6, 87e6, 0);
	s->proc.rss_peak_bytes = 91000000;
	s->proc.ncpu = 2;
	s->proc.machine_cpu_pct = 63;
	s->proc.ctxsw_voluntary_rate = wander(tick, 300, 900, 1);
	s->proc.ctxsw_involuntary_rate = 40;
	s->cost = (struct snap_cost){.self_cpu_pct = 0.6,
				     .self_rss_bytes = 14680064,
				     .bpf_ns_per_s = 8100000,
				     .target_pct_est = 2.4,
				     .events = 81234};
	s->cpu.hz = 99;
	s->cpu.samples = 5940;
	s->cpu.unwound_pct = 99.4;
	s->cpu.kernel_samples = 1820;
}

static void fill_redis(struct snapshot *s, uint32_t tick)
{
	struct snap_latency *l;

	fill_common(s, tick, "redis-server", "redis-server *:6379", 5);
	s->proc.user_pct = wander(tick, 62, 72, 0);
	s->proc.sys_pct = wander(tick, 27, 31, 1);
	add_function(s, "dictFind", "redis-server", 41.3, 44.0);
	add_function(s, "siphash", "redis-server", 12.8, 12.8);
	add_function(s, "__send", "libc.so.6", 6.1, 21.9);
	add_function(s, "tcp_sendmsg_locked", "[kernel]", 5.2, 14.4);
	add_function(s, "processCommand", "redis-server", 4.4, 71.2);
	add_function(s, "readQueryFromClient", "redis-server", 3.0, 88.7);
	add_function(s, "_int_malloc", "libc.so.6", 2.7, 3.1);
	add_function(s, "je_malloc", "libjemalloc.so.2", 2.2, 2.5);
	add_function(s, "aeMain", "redis-server", 0.4, 99.1);
	add_stack(s, 24.1, "redis-server",
		  "dictFind lookupKey lookupKeyReadWithFlags getCommand call processCommand "
		  "readQueryFromClient aeMain main _start");
	add_stack(s, 11.0, "redis-server",
		  "dictFind lookupKey lookupKeyWrite setGenericCommand call processCommand "
		  "readQueryFromClient aeMain main _start");
	add_stack(s, 5.2, "redis-server",
		  "dictFind getExpire expireIfNeeded lookupKey "
		  "lookupKeyReadWithFlags getCommand call processCommand "
		  "readQueryFromClient aeMain main _start");
	l = add_latency(s, tick, "processCommand", "redis-server", 61200, 2900, 0.35);
	l->target = 20000;
	l->met = l->p99 <= l->target;
	add_latency(s, tick, "lookupKey", "redis-server", 61200, 410, 0.3);
	add_latency(s, tick, "je_malloc", "libjemalloc.so.2", 122400, 160, 0.4);
	add_latency(s, tick, "rdbSaveRio", "redis-server", 0, 0, 1);
	add_syscall(s, tick, "read", 61240, 1900, 0.4);
	add_syscall(s, tick, "write", 61230, 5200, 0.35);
	add_syscall(s, tick, "epoll_wait", 3104, 15100, 1.1);
	sample_io_fill(s);
	l = add_syscall(s, tick, "getpid", 1.2, 90, 0.3);
	l->sampled = 0;
	l->bin_count = 0;
	l->p50 = l->p90 = l->p99 = l->p999 = l->max = l->recent_p99 = 0;
	snapshot_string(l->note, sizeof(l->note), "counted only");
	add_thread(s, 4711, "redis-server", 'R', s->proc.user_pct + s->proc.sys_pct, 3.1,
		   "dictFind");
	add_thread(s, 4712, "bio_close_file", 'S', 0, 0, "");
	add_thread(s, 4713, "bio_aof_fsync", 'S', 0.4, 0.1, "fdatasync");
	add_thread(s, 4714, "bio_lazy_free", 'S', 0, 0, "");
	add_thread(s, 4715, "jemalloc_bg_thd", 'S', 0, 0, "");
	add_blocked(s, BLOCKED_FUTEX, 399.2, 7);
	add_blocked(s, BLOCKED_NET, 1.3, 3104);
	add_blocked(s, BLOCKED_RUNQ, 3.2, 912);
	add_blocked(s, BLOCKED_IO, 0.4, 12);
	add_lock(s, 0x7f31c2a01a48, 99.8, 2, 0, false);
	name_lock(s, "condvar", "heap", "bioProcessBackgroundJobs");
	add_lock(s, 0x7f31c2a01a78, 299.4, 5, 0, false);
	name_lock(s, "condvar", "heap", "bioProcessBackgroundJobs");
	add_alert(
		s, "cpu_bound", ALERT_WARNING, "dictFind",
		"41 % of 5940 samples are in dictFind (redis-server) itself; the target uses 96 % "
		"of a CPU",
		"open CPU and press Enter on dictFind for its callers; measure one call with -e "
		"'redis-server:dictFind'");
	snapshot_set_section(s, "counters", SECTION_ABSENT,
			     "the target has no segment: it is not linked with libperftop",
			     "link it with -lperftop and register counters (perftop.h)");
	snapshot_set_section(s, "engine", SECTION_ABSENT, "the target is not the built-in engine",
			     "");
	add_event(s, 61000000000u, "attached: 2 functions probed, estimated cost 5.4 % of a CPU");
}

static void fill_locks(struct snapshot *s, uint32_t tick)
{
	fill_common(s, tick, "imageserver", "./imageserver --workers 8 --port 8080", 9);
	s->proc.user_pct = 61;
	s->proc.sys_pct = 22;
	add_function(s, "resize_row_avx2", "imageserver", 31.0, 33.0);
	add_function(s, "cache_lookup", "imageserver", 18.3, 19.0);
	add_function(s, "futex_wake", "[kernel]", 9.9, 14.0);
	add_thread(s, 4711, "imageserver", 'S', 0.2, 0, "accept4");
	for (int i = 1; i <= 8; i++)
		add_thread(s, 4711 + i, "worker", i == 3 ? 'R' : 'S', 10.2 + i * 0.1, 1.2,
			   i == 3 ? "cache_lookup" : "resize_row_avx2");
	add_blocked(s, BLOCKED_FUTEX, 655, 81231);
	add_blocked(s, BLOCKED_NET, 110, 902);
	add_blocked(s, BLOCKED_RUNQ, 9.6, 4100);
	add_lock(s, 0x55d0c8e042c0, 641.0, 79904, 4714, true);
	name_lock(s, "mutex", "image_cache+32", "cache_lookup");
	add_lock(s, 0x55d0c8e04340, 3.1, 811, 4716, true);
	name_lock(s, "rwlock", "heap", "session_find");
	add_lock(s, 0x55d0c8e04500, 10.9, 402, 0, false);
	name_lock(s, "condvar", "pool.idle", "worker_main");
	add_wait_stack(s, BLOCKED_FUTEX, 6.4, 79888, "mutex", "worker/4714",
		       (const char *const[]){"__lll_lock_wait", "__pthread_mutex_lock",
					     "cache_lookup", "image_open", "worker_main",
					     "__start_thread", NULL});
	/* The same function waits for the news of that cache too: another wait. */
	add_wait_stack(s, BLOCKED_FUTEX, 0.4, 117, "condvar", "worker/4714",
		       (const char *const[]){"__futex_abstimed_wait_common", "__pthread_cond_wait",
					     "cache_lookup", "image_open", "worker_main",
					     "__start_thread", NULL});
	add_wait_stack(s, BLOCKED_NET, 1.1, 901, "", "interrupt",
		       (const char *const[]){"__accept4", "listen_loop", "main", NULL});
	s->sockets[s->nsockets++] =
		(struct snap_socket){.fd = 5,
				     .name = "tcp *:8080 listening",
				     .waits = 902,
				     .pct = 109.7,
				     .wait_ns = (uint64_t)(1.1 * (double)s->since_ns),
				     .max_ns = 1460000000};
	add_syscall(s, tick, "futex", 161000, 7400, 0.9);
	add_syscall(s, tick, "sendto", 900, 21000, 0.5);
	add_syscall(s, tick, "accept4", 870, 910000, 0.7);
	add_alert(s, "lock_wait", ALERT_CRITICAL, "mutex 0x55d0c8e042c0",
		  "threads wait 6.44 threads' worth of time for mutexes; the mutex at "
		  "0x55d0c8e042c0 alone 6.41 (79904 waits, longest 41.3 ms, last held by tid 4714)",
		  "shorten what is done while it is held, or split it; see Blocked for every "
		  "address, and thread 4714 for who holds it");
	snapshot_set_section(s, "func", SECTION_ABSENT, "no function was named",
			     "perftop -p 4711 -e './imageserver:cache_*'");
	snapshot_set_section(s, "counters", SECTION_ABSENT, "the target has no segment", "");
}

static void fill_idle(struct snapshot *s, uint32_t tick)
{
	fill_common(s, tick, "nginx", "nginx: worker process", 1);
	s->proc.user_pct = 0.3;
	s->proc.sys_pct = 0.2;
	s->cpu.samples = 41;
	add_function(s, "ngx_epoll_process_events", "nginx", 12, 20);
	add_thread(s, 4711, "nginx", 'S', 0.5, 0, "");
	add_blocked(s, BLOCKED_NET, 99.5, 64);
	add_syscall(s, tick, "epoll_wait", 12, 81000000, 0.8);
	add_syscall(s, tick, "recvfrom", 11, 2100, 0.3);
	snapshot_set_section(s, "func", SECTION_ABSENT, "no function was named",
			     "perftop -p 4711 -e 'nginx:ngx_http_*'");
	snapshot_set_section(s, "counters", SECTION_ABSENT, "the target has no segment", "");
}

static void fill_engine(struct snapshot *s, uint32_t tick)
{
	static const char *const kernels[] = {"attention_forward", "attention_decode",
					      "lora_apply"};
	struct snap_latency *l;

	fill_common(s, tick, "perftop-engine", "perftop engine --load 2000", 4);
	s->proc.user_pct = wander(tick, 180, 188, 0);
	s->proc.sys_pct = 4;
	add_function(s, "attention_block_avx512", "perftop", 74.0, 76.0);
	add_function(s, "lora_apply_avx512", "perftop", 11.0, 11.2);
	add_function(s, "trajectory_record", "perftop", 1.9, 2.0);
	for (uint32_t i = 0; i < 3; i++) {
		struct snap_kernel *k = &s->kernels[s->nkernels++];

		snprintf(k->name, sizeof(k->name), "%s", kernels[i]);
		strcpy(k->isa, "avx512");
		k->rate = 2000.0 / (i + 1);
		k->calls = 100000 + 2000ull * tick;
		k->gflops = i == 1 ? 0 : wander(tick, 170, 190, i);
		k->gbytes_s = i == 1 ? 34.2 : 0;
		k->pct_peak = i == 1 ? 0 : k->gflops / 2.69;
		k->p50 = 412000 / (i + 1);
		k->p99 = 605000 / (i + 1);
		k->vs_scalar = i == 2 ? 0 : 24.7;
		k->vs_standard = i == 2 ? 0 : 1.31;
	}
	s->ntrajectory = 1;
	s->trajectory = (struct snap_trajectory){.capacity = 4096,
						 .used = 4091,
						 .recorded = 210331,
						 .dropped = 9100,
						 .drained = 206240,
						 .contention_pct = 0.7,
						 .recorded_rate = 1740,
						 .dropped_rate = 260,
						 .drained_rate = 1740};
	s->nlearning = 1;
	s->loop_a = (struct snap_loop){100000 + 2000ull * tick, 31000, 58000, 410000, 2000};
	s->loop_b = (struct snap_loop){12, 18400000, 31000000, 31000000, 0.1};
	s->loop_c = (struct snap_loop){2, 6100000, 7200000, 7200000, 0};
	s->learning = (struct snap_learning){.reward = -0.021,
					     .update_rate = 498,
					     .patterns = 373,
					     .memories = 1384,
					     .tasks = 2,
					     .pattern_found_pct = 99.4,
					     .dreams = 100,
					     .dreams_kept = 17,
					     .links = 44,
					     .staged = 310};
	l = add_latency(s, tick, "engine.query", "engine", 2000, 510000, 0.25);
	l->source = LATENCY_COUNTER;
	l->cost_ns = 0;
	add_counter(s, "engine.queries", "1", "queries served", COUNTER_SUM, 251004, 2000);
	add_counter(s, "engine.batch", "1", "queries in the batch now", COUNTER_GAUGE, 16, 0);
	add_counter(s, "engine.scratch", "bytes", "memory of the kernels' scratch", COUNTER_GAUGE,
		    12582912, 0);
	add_counter(s, "trajectory.dropped", "1", "trajectories that found no place", COUNTER_SUM,
		    9100, 260);
	add_thread(s, 4711, "perftop-engine", 'S', 0.1, 0, "");
	add_thread(s, 4712, "worker/0", 'R', 92, 6.0, "attention_block_avx512");
	add_thread(s, 4713, "worker/1", 'R', 91, 7.1, "attention_block_avx512");
	add_thread(s, 4714, "learner", 'R', 3.9, 2.4, "learner_drain");
	add_blocked(s, BLOCKED_SLEEP, 99.9, 60);
	add_blocked(s, BLOCKED_FUTEX, 89.4, 310);
	add_blocked(s, BLOCKED_RUNQ, 15.5, 2204);
	add_syscall(s, tick, "clock_nanosleep", 100, 9900000, 0.1);
	add_alert(
		s, "trajectory_drop", ALERT_CRITICAL, "trajectory buffer",
		"13.0 % of trajectories are dropped (260/s of 2000/s); 4091 of 4096 places are in "
		"use, the learner drains 1740/s",
		"the learner is too slow for this rate: give it a CPU, drain more at a time, or "
		"enlarge the buffer (engine --buffer)");
}

static void fill_user(struct snapshot *s, uint32_t tick)
{
	static const char fix[] =
		"sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace=ep $(command -v perftop)";

	fill_common(s, tick, "python3", "python3 train.py --epochs 10", 3);
	strcpy(s->target.tier, "user");
	s->proc.user_pct = 98;
	s->proc.sys_pct = 1;
	s->cpu.samples = 0;
	snapshot_set_section(s, "bpf", SECTION_ABSENT, "no permission to load eBPF programs", fix);
	snapshot_set_section(s, "blocked", SECTION_ABSENT, "needs CAP_BPF and CAP_PERFMON", fix);
	snapshot_set_section(s, "cpu", SECTION_ABSENT,
			     "perf_event_open is not permitted (kernel.perf_event_paranoid is 3)",
			     fix);
	snapshot_set_section(s, "syscalls", SECTION_ABSENT, "needs CAP_BPF and CAP_PERFMON", fix);
	snapshot_set_section(s, "func", SECTION_ABSENT, "no function was named", "");
	snapshot_set_section(s, "counters", SECTION_ABSENT, "the target has no segment", "");
	add_thread(s, 4711, "python3", 'R', 97.8, 0, "");
	add_thread(s, 4712, "python3", 'S', 0.9, 0, "");
	add_thread(s, 4713, "python3", 'S', 0.3, 0, "");
}

static void fill_leak(struct snapshot *s, uint32_t tick)
{
	fill_idle(s, tick);
	sample_heap_fill(s, tick);
}

static void fill_hostile(struct snapshot *s, uint32_t tick)
{
	static const char nasty[] = "\033[2J\033]0;owned\a日本語の関数名𝔘𝔫𝔦𝔠𝔬𝔡𝔢é\xff\xfe<template"
				    "<std::__cxx11::basic_string<char>>>::operator()(int) const";

	fill_common(s, tick, nasty, nasty, UINT32_MAX);
	s->target.age_ns = s->since_ns = UINT64_MAX;
	s->proc.user_pct = 1e9;
	s->proc.sys_pct = NAN;
	s->proc.rss_bytes = UINT64_MAX;
	s->proc.ctxsw_voluntary_rate = INFINITY;
	s->cost.dropped = s->cost.dropped_total = UINT64_MAX;
	for (int i = 0; i < SNAP_FUNCTIONS; i++)
		add_function(s, nasty, nasty, i % 7 ? 99.99 : NAN, 1e30);
	for (int i = 0; i < SNAP_THREADS; i++)
		add_thread(s, INT32_MAX - i, nasty, (char)0xff, NAN, 1e9, nasty);
	for (int i = 0; i < 20; i++) {
		struct snap_latency *l = add_latency(s, tick, nasty, nasty, 1e18, 1e9, 2);

		l->max = l->p999 = UINT64_MAX;
		l->target = 1;
		snapshot_string(l->note, sizeof(l->note), nasty);
	}
	s->latency[0].bin_first = UINT32_MAX; /* a recording may say anything */
	s->latency[1].bin_count = UINT32_MAX;
	for (uint32_t i = 0; i < SNAP_BLOCKED; i++)
		add_blocked(s, i, 1e12, UINT64_MAX);
	for (uint32_t i = 0; i < SNAP_LOCKS; i++)
		add_lock(s, UINT64_MAX, 1e12, UINT64_MAX, INT32_MIN, i % 2);
	for (int i = 0; i < SNAP_ALERTS; i++)
		add_alert(s, nasty, UINT32_MAX, nasty, nasty, nasty);
	add_event(s, UINT64_MAX, nasty);
	add_counter(s, nasty, nasty, nasty, COUNTER_GAUGE, INT64_MIN, NAN);
	s->nstacks = 1;
	s->stacks[0] = (struct snap_stack){.count = 1, .nframes = UINT32_MAX};
	s->stacks[0].frames[0] = UINT32_MAX;
	snapshot_set_section(s, "cpu", (enum section_status)77, nasty, nasty);
	sample_heap_hostile(s, nasty);
	sample_io_hostile(s, nasty);
}

void sample_snapshot_fill(struct snapshot *s, enum sample_kind kind, uint32_t tick)
{
	static void (*const fill[SAMPLE_KINDS])(struct snapshot *, uint32_t) = {
		[SAMPLE_REDIS] = fill_redis, [SAMPLE_LOCKS] = fill_locks,
		[SAMPLE_IDLE] = fill_idle,   [SAMPLE_ENGINE] = fill_engine,
		[SAMPLE_USER] = fill_user,   [SAMPLE_ENDED] = fill_redis,
		[SAMPLE_LEAK] = fill_leak,   [SAMPLE_HOSTILE] = fill_hostile,
	};

	snapshot_clear(s);
	fill[kind](s, tick);
	if (kind == SAMPLE_ENDED) {
		s->finished = 1;
		s->target.state = TARGET_EXITED;
		snapshot_string(s->target.note, sizeof(s->target.note),
				"exited with status 0 after 3 h 12 m; last numbers shown");
	}
}

const char *sample_kind_name(enum sample_kind kind)
{
	static const char *const names[SAMPLE_KINDS] = {"redis", "locks", "idle", "engine",
							"user",	 "ended", "leak", "hostile"};

	return names[kind];
}
