/* SPDX-License-Identifier: Apache-2.0 */
/* proc.c: CPU, memory, faults and I/O of the process, from /proc. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/collector.h"
#include "collectors/limits.h"
#include "collectors/procfs.h"
#include "collectors/session.h"
#include "collectors/target_set.h"

enum { PROC_MEMINFO_EVERY = 5, PROC_LIMITS_EVERY = 15 };

/* Of several: how much of what all but the first used is shown already. */
struct others {
	struct use_mark cpu, user, sys, minflt, majflt, read, write;
	double user_share; /* of their CPU time, when it was last known */
};

struct proc {
	struct procfs_stat stat; /* at the last tick */
	clockid_t cpu_clock;	 /* the process's own: all its threads, gone ones too, in ns */
	bool have_clock;
	uint64_t cpu_ns;
	uint64_t mark_utime, mark_stime; /* where the share below begins to be measured */
	double user_share;
	uint64_t read_bytes, write_bytes;
	uint64_t machine_busy, machine_total, machine_steal;
	uint32_t ncpu;
	uint64_t mem_total_bytes, mem_available_bytes;
	uint64_t tick_ns;
	uint32_t ticks;
	bool have_io;
	uint64_t peak_bytes; /* of several together: seen so far */
	struct others others;
	struct limits *limits;
	struct snap_proc last; /* shown on when the process is gone */
};

static int read_machine(uint64_t *busy, uint64_t *total, uint64_t *steal)
{
	char buf[512], *p = buf;
	uint64_t sum = 0, idle = 0;

	if (procfs_read(0, "stat", buf, sizeof(buf)) < 0 || strncmp(p, "cpu ", 4))
		return -EIO;
	p += 4;
	for (int i = 0; i < 8; i++) {
		uint64_t v = strtoull(p, &p, 10);

		sum += v;
		if (i == 3 || i == 4) /* idle and iowait */
			idle += v;
		if (i == 7)
			*steal = v;
	}
	*busy = sum - idle;
	*total = sum;
	return 0;
}

static double rate(uint64_t now, uint64_t before, uint64_t ns)
{
	return ns && now > before ? (double)(now - before) * 1e9 / (double)ns : 0;
}

/*
 * Clock ticks are too coarse for a short interval: they give the shares of user and system, over
 * as many ticks as it takes, and the process's CPU clock gives the sum.
 */
enum { PROC_SHARE_TICKS = 20 };

static void update_share(struct proc *p, const struct procfs_stat *st)
{
	uint64_t user = st->utime - p->mark_utime, sys = st->stime - p->mark_stime;
	uint64_t life = st->utime + st->stime;

	/* Too young to choose: all there is. */
	if (life && life < PROC_SHARE_TICKS)
		p->user_share = (double)st->utime / (double)life;
	if (st->utime < p->mark_utime || st->stime < p->mark_stime ||
	    user + sys >= PROC_SHARE_TICKS) {
		if (user + sys)
			p->user_share = (double)user / (double)(user + sys);
		p->mark_utime = st->utime;
		p->mark_stime = st->stime;
	}
}

static void fill_cpu(struct proc *p, const struct procfs_stat *st, uint64_t ns,
		     struct snap_proc *out)
{
	uint64_t now = p->have_clock ? clock_ns(p->cpu_clock) : 0;

	update_share(p, st);
	if (now) {
		double sum = rate(now, p->cpu_ns, ns) / 1e7;

		out->user_pct = sum * p->user_share;
		out->sys_pct = sum - out->user_pct;
		p->cpu_ns = now;
		return;
	}
	out->user_pct = rate(st->utime, p->stat.utime, ns) * (double)p->tick_ns / 1e7;
	out->sys_pct = rate(st->stime, p->stat.stime, ns) * (double)p->tick_ns / 1e7;
}

static void say_state(struct session *se, const struct proc *p)
{
	if (p->have_io)
		session_section(se, "proc", SECTION_LIVE, NULL, "/proc/%d", session_pid(se));
	else
		session_section(se, "proc", SECTION_DEGRADED, session_privilege_fix(se),
				"no permission to read /proc/%d/io: I/O bytes are missing",
				session_pid(se));
}

static void mark_others(struct others *o, const struct process_use *use)
{
	o->cpu.at = use->user_ns + use->sys_ns;
	o->user.at = use->user_ns;
	o->sys.at = use->sys_ns;
	o->minflt.at = use->minflt;
	o->majflt.at = use->majflt;
	o->read.at = use->read_bytes;
	o->write.at = use->write_bytes;
}

static int proc_start(struct session *se, void **priv)
{
	struct proc *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	err = procfs_stat(session_pid(se), &p->stat);
	if (err) {
		session_section(se, "proc", SECTION_ABSENT, NULL, "/proc/%d/stat: %s",
				session_pid(se), strerror(-err));
		free(p);
		return err;
	}
	p->limits = limits_new("/sys/fs/cgroup");
	if (!p->limits) {
		free(p);
		return -ENOMEM;
	}
	p->have_clock = !clock_getcpuclockid(session_pid(se), &p->cpu_clock);
	if (p->have_clock)
		p->cpu_ns = clock_ns(p->cpu_clock);
	p->mark_utime = p->stat.utime;
	p->mark_stime = p->stat.stime;
	p->user_share = p->stat.utime + p->stat.stime
				? (double)p->stat.utime / (double)(p->stat.utime + p->stat.stime)
				: 1;
	p->ncpu = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	p->tick_ns = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
	p->have_io = !procfs_io(session_pid(se), &p->read_bytes, &p->write_bytes);
	read_machine(&p->machine_busy, &p->machine_total, &p->machine_steal);
	mark_others(&p->others, &session_target_set(se)->use);
	say_state(se, p);
	*priv = p;
	return 0;
}

static void fill_machine(struct proc *p, struct snap_proc *out)
{
	uint64_t busy, total, steal = 0;
	double all;

	if (read_machine(&busy, &total, &steal))
		return;
	all = (double)(total - p->machine_total);
	/* The time spent waiting for I/O can fall. */
	if (total > p->machine_total && busy >= p->machine_busy) {
		out->machine_cpu_pct = 100.0 * (double)(busy - p->machine_busy) / all;
		if (steal > p->machine_steal)
			out->machine_steal_pct = 100.0 * (double)(steal - p->machine_steal) / all;
	}
	p->machine_busy = busy;
	p->machine_total = total;
	p->machine_steal = steal;
}

static void fill_allowed(const char *status, struct snap_proc *out)
{
	const char *list = strstr(status, "Cpus_allowed_list:");

	if (!list)
		return;
	list += strcspn(list, "0123456789\n");
	out->cpus_allowed = procfs_count_cpus(list);
	/* The list may name CPUs that are not there. */
	if (out->cpus_allowed > out->ncpu)
		out->cpus_allowed = out->ncpu;
	snprintf(out->cpus_list, sizeof(out->cpus_list), "%.*s", (int)strcspn(list, "\n"), list);
}

/* And what else its status says. */
static void fill_memory(pid_t tid, struct snap_proc *out)
{
	char buf[4096];

	if (procfs_read(tid, "status", buf, sizeof(buf)) > 0) {
		out->rss_bytes = procfs_field(buf, "VmRSS", 0) * 1024;
		out->rss_peak_bytes = procfs_field(buf, "VmHWM", 0) * 1024;
		out->anon_bytes = procfs_field(buf, "RssAnon", 0) * 1024;
		out->file_bytes = procfs_field(buf, "RssFile", 0) * 1024;
		out->shmem_bytes = procfs_field(buf, "RssShmem", 0) * 1024;
		out->swap_bytes = procfs_field(buf, "VmSwap", 0) * 1024;
		out->vsz_bytes = procfs_field(buf, "VmSize", 0) * 1024;
		fill_allowed(buf, out);
	}
}

/* The machine's memory changes slowly, and the file is dear to make: every few ticks. */
static void fill_machine_memory(struct proc *p, struct snap_proc *out)
{
	char buf[2048];

	if (p->ticks % PROC_MEMINFO_EVERY == 0 && procfs_read(0, "meminfo", buf, sizeof(buf)) > 0) {
		p->mem_total_bytes = procfs_field(buf, "MemTotal", 0) * 1024;
		p->mem_available_bytes = procfs_field(buf, "MemAvailable", 0) * 1024;
	}
	out->mem_total_bytes = p->mem_total_bytes;
	out->mem_available_bytes = p->mem_available_bytes;
}

static void fill_limits(struct session *se, struct proc *p, struct snap_proc *out)
{
	char groups[4096];

	if (p->ticks % PROC_LIMITS_EVERY == 0)
		limits_find(p->limits,
			    procfs_read(session_pid(se), "cgroup", groups, sizeof(groups)) > 0
				    ? groups
				    : "");
	limits_read(p->limits, session_now_ns(se), out);
}

static void fill_fds(struct session *se, struct snap_proc *out)
{
	struct stat st;
	char path[32];

	/* Since Linux 6.2 the directory's size is the number of descriptors. */
	snprintf(path, sizeof(path), "/proc/%d/fd", session_pid(se));
	if (!stat(path, &st))
		out->fds = (uint32_t)st.st_size;
}

static void fill_io(struct session *se, struct proc *p, struct snap_proc *out, uint64_t ns)
{
	uint64_t in = 0, outb = 0;

	if (!p->have_io || procfs_io(session_pid(se), &in, &outb))
		return;
	out->read_bytes = in;
	out->write_bytes = outb;
	out->read_rate = rate(in, p->read_bytes, ns);
	out->write_rate = rate(outb, p->write_bytes, ns);
	p->read_bytes = in;
	p->write_bytes = outb;
}

/* What the others did, those too that came and went between two ticks. */
static void add_use(struct proc *p, const struct process_use *use, uint64_t ns,
		    struct snap_proc *out)
{
	struct others *o = &p->others;
	double user = (double)process_use_growth(&o->user, use->user_ns);
	double sys = (double)process_use_growth(&o->sys, use->sys_ns);
	double cpu = (double)process_use_growth(&o->cpu, use->user_ns + use->sys_ns);
	double second = ns ? 1e9 / (double)ns : 0;

	if (user + sys > 0)
		o->user_share = user / (user + sys);
	out->user_pct += cpu * second / 1e7 * o->user_share;
	out->sys_pct += cpu * second / 1e7 * (1 - o->user_share);
	out->minflt_rate += (double)process_use_growth(&o->minflt, use->minflt) * second;
	out->majflt_rate += (double)process_use_growth(&o->majflt, use->majflt) * second;
	out->read_rate += (double)process_use_growth(&o->read, use->read_bytes) * second;
	out->write_rate += (double)process_use_growth(&o->write, use->write_bytes) * second;
	/* Of these the sum is since they are watched. */
	out->minflt += (uint64_t)o->minflt.at;
	out->majflt += (uint64_t)o->majflt.at;
	out->read_bytes += (uint64_t)o->read.at;
	out->write_bytes += (uint64_t)o->write.at;
}

/*
 * Processes watched together: a row each, and the totals are those of all. The parts of memory
 * stay the first one's.
 */
static void add_others(struct session *se, struct proc *first, char state, struct snapshot *s)
{
	const struct target_set *set = session_target_set(se);
	struct snap_proc *out = &s->proc;
	struct snap_process *row = s->processes;

	if (!target_set_many(set))
		return;
	*row = (struct snap_process){.pid = session_pid(se),
				     .state = state,
				     .cpu_pct = out->user_pct + out->sys_pct,
				     .rss_bytes = out->rss_bytes,
				     .threads = s->target.threads};
	snapshot_string(row->comm, sizeof(row->comm), s->target.comm);
	s->nprocesses = 1;
	add_use(first, &set->use, session_interval_ns(se), out);
	for (uint32_t i = 0; i < set->n; i++) {
		const struct target_process *p = &set->v[i];

		/* It was over before anybody looked: of it only what it used is known. */
		if (!p->row.pid)
			continue;
		out->rss_bytes += p->row.rss_bytes;
		s->target.threads += p->row.threads;
		if (s->nprocesses == SNAP_PROCESSES)
			s->truncated++;
		else
			s->processes[s->nprocesses++] = p->row;
	}
	/* The peak of a sum is not the sum of peaks: the highest that was seen. */
	if (out->rss_bytes > out->rss_peak_bytes)
		out->rss_peak_bytes = out->rss_bytes;
	if (first->peak_bytes > out->rss_peak_bytes)
		out->rss_peak_bytes = first->peak_bytes;
	first->peak_bytes = out->rss_peak_bytes;
	s->truncated += (uint32_t)set->unwatched;
}

static void proc_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct proc *p = priv;
	struct snap_proc *out = &s->proc;
	uint64_t ns = session_interval_ns(se);
	struct procfs_stat st;

	out->ncpu = p->ncpu;
	if (s->target.state == TARGET_EXITED || procfs_stat(session_pid(se), &st) ||
	    st.state == 'X' || (st.state == 'Z' && st.num_threads <= 1)) {
		*out = p->last;
		s->cpu.user_pct = out->user_pct;
		s->cpu.sys_pct = out->sys_pct;
		return;
	}
	fill_cpu(p, &st, ns, out);
	out->nice = st.nice;
	out->minflt = st.minflt;
	out->majflt = st.majflt;
	out->minflt_rate = rate(st.minflt, p->stat.minflt, ns);
	out->majflt_rate = rate(st.majflt, p->stat.majflt, ns);
	p->stat = st;
	fill_machine(p, out);
	fill_memory(st.state == 'Z' ? procfs_live_tid(session_pid(se)) : session_pid(se), out);
	fill_machine_memory(p, out);
	fill_limits(se, p, out);
	p->ticks++;
	fill_fds(se, out);
	fill_io(se, p, out, ns);
	add_others(se, p, st.state, s);
	s->cpu.user_pct = out->user_pct;
	s->cpu.sys_pct = out->sys_pct;
	p->last = *out;
}

static void proc_stop(struct session *se, void *priv)
{
	struct proc *p = priv;

	limits_free(p->limits);
	free(p);
}

const struct collector collector_proc = {
	.name = "proc",
	.help = "CPU, memory, faults and I/O of the process, from /proc",
	.start = proc_start,
	.tick = proc_tick,
	.stop = proc_stop,
};
