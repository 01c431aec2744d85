/* SPDX-License-Identifier: Apache-2.0 */
/* process_use.c: see process_use.h. */
#include "collectors/process_use.h"

#include "collectors/procfs.h"
#include "probes/contract.h"

void process_use_add(struct process_use *sum, const struct process_use *v)
{
	sum->user_ns += v->user_ns;
	sum->sys_ns += v->sys_ns;
	sum->minflt += v->minflt;
	sum->majflt += v->majflt;
	sum->read_bytes += v->read_bytes;
	sum->write_bytes += v->write_bytes;
}

void process_use_sub(struct process_use *sum, const struct process_use *v)
{
	sum->user_ns -= v->user_ns;
	sum->sys_ns -= v->sys_ns;
	sum->minflt -= v->minflt;
	sum->majflt -= v->majflt;
	sum->read_bytes -= v->read_bytes;
	sum->write_bytes -= v->write_bytes;
}

void process_use_of_stat(const struct procfs_stat *st, long tick_ns, bool children,
			 struct process_use *out)
{
	out->user_ns = (int64_t)st->utime * tick_ns;
	out->sys_ns = (int64_t)st->stime * tick_ns;
	out->minflt = (int64_t)st->minflt;
	out->majflt = (int64_t)st->majflt;
	if (!children)
		return;
	out->user_ns += (int64_t)st->child_utime * tick_ns;
	out->sys_ns += (int64_t)st->child_stime * tick_ns;
	out->minflt += (int64_t)st->child_minflt;
	out->majflt += (int64_t)st->child_majflt;
}

void process_use_ended(struct contract_ended *before, const struct contract_ended *now,
		       struct process_use *out)
{
	struct contract_ended n = *now, b = *before;
	double ticks, cpu;

	*before = n;
	if (n.cpu_ns < b.cpu_ns) /* attached anew: it counts from zero */
		b = (struct contract_ended){0};
	ticks = (double)(n.utime - b.utime) + (double)(n.stime - b.stime);
	cpu = (double)(n.cpu_ns - b.cpu_ns);
	out->user_ns = (int64_t)(ticks > 0 ? cpu * (double)(n.utime - b.utime) / ticks : cpu);
	out->sys_ns = (int64_t)cpu - out->user_ns;
	out->minflt = (int64_t)(n.minflt - b.minflt);
	out->majflt = (int64_t)(n.majflt - b.majflt);
	out->read_bytes = (int64_t)(n.read_bytes - b.read_bytes);
	out->write_bytes = (int64_t)(n.write_bytes - b.write_bytes);
}

enum { BELOW_MAX = 3 };

uint64_t process_use_growth(struct use_mark *m, int64_t now)
{
	int64_t more = now - m->at;

	if (more < 0 && ++m->below < BELOW_MAX)
		return 0;
	m->below = 0;
	m->at = now;
	return more > 0 ? (uint64_t)more : 0;
}
