/* SPDX-License-Identifier: Apache-2.0 */
/* target_set.c: the processes watched beside the first. */
#include "collectors/target_set.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "collectors/procfs.h"
#include "collectors/symbols.h"
#include "collectors/unwind.h"
#include "probes/contract.h"

enum { WHOIS_MAX = 32768 }; /* processes of a namespace */
enum { IO_LOOKS = 64 };	    /* processes whose I/O is read at one look */

static int compare_pid(const void *a, const void *b)
{
	const struct target_process *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

struct target_process *target_set_find(struct target_set *t, pid_t pid)
{
	struct target_process key = {.pid = pid};

	return t->n ? bsearch(&key, t->v, t->n, sizeof(*t->v), compare_pid) : NULL;
}

static void close_one(struct target_set *t, struct target_process *p)
{
	if (p->symbols)
		t->nsymbols--;
	unwind_free(p->unwinder);
	symbols_free(p->symbols);
	p->unwinder = NULL;
	p->symbols = NULL;
	p->opened = false;
	p->planned = 0;
}

static bool reserve(struct target_set *t)
{
	struct target_process *v;
	uint32_t cap = t->cap ? 2 * t->cap : 16;

	if (t->n < t->cap)
		return true;
	v = realloc(t->v, cap * sizeof(*v));
	if (!v)
		return false;
	t->v = v;
	t->cap = cap;
	return true;
}

static void add(struct target_set *t, pid_t pid)
{
	struct target_process *p = target_set_find(t, pid);
	struct procfs_stat st;
	uint32_t at;

	if (pid == t->first || pid == getpid() || (p && !p->gone))
		return;
	if (procfs_stat(pid, &st) || st.state == 'Z' || st.state == 'X')
		return;
	if (t->n >= TARGET_SET_MAX || (!p && !reserve(t))) {
		t->unwatched++;
		return;
	}
	if (p) { /* its number has come again already */
		close_one(t, p);
		at = (uint32_t)(p - t->v);
	} else {
		for (at = t->n++; at && t->v[at - 1].pid > pid; at--)
			t->v[at] = t->v[at - 1];
	}
	t->v[at] = (struct target_process){
		.pid = pid,
		.tgid = t->translated ? 0 : (uint32_t)pid,
		.parent = st.ppid,
		.starttime = st.starttime,
		.cpu_ticks = st.utime + st.stime,
		.old = !t->looks,
		.fresh = true,
		.found_ns = clock_mono_ns(),
	};
}

int target_set_init(struct target_set *t, pid_t first, const pid_t *pids, uint32_t n,
		    const char *cgroup, bool follow)
{
	*t = (struct target_set){
		.first = first,
		.cgroup = cgroup,
		.follow = follow,
		.tick_ns = 1000000000 / sysconf(_SC_CLK_TCK),
		.page_bytes = sysconf(_SC_PAGESIZE),
	};
	for (uint32_t i = 0; i < n; i++)
		add(t, pids[i]);
	return 0;
}

void target_set_detach(struct target_set *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		close_one(t, &t->v[i]);
		t->v[i].mapped = t->v[i].probed = t->v[i].sampled = false;
	}
}

void target_set_fini(struct target_set *t)
{
	target_set_detach(t);
	free(t->v);
	t->v = NULL;
	t->n = t->cap = 0;
}

bool target_set_many(const struct target_set *t)
{
	return t->n || t->cgroup || t->follow;
}

static bool is_member(struct target_set *t, pid_t pid)
{
	return pid == t->first || target_set_find(t, pid);
}

/* One pass over /proc finds children; those of theirs need another. */
static void add_children(struct target_set *t)
{
	uint32_t before;

	do {
		DIR *dir = opendir("/proc");
		struct dirent *e;
		struct procfs_stat st;

		before = t->n;
		while (dir && (e = readdir(dir))) {
			pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

			if (isdigit((unsigned char)e->d_name[0]) && !is_member(t, pid) &&
			    !procfs_stat(pid, &st) && is_member(t, st.ppid))
				add(t, pid);
		}
		if (dir)
			closedir(dir);
	} while (t->n > before && t->n < TARGET_SET_MAX);
}

void target_set_children(struct target_set *t)
{
	if (t->follow)
		add_children(t);
}

static void add_cgroup(struct target_set *t)
{
	char path[SNAP_TEXT], why[SNAP_TEXT];
	pid_t pids[TARGET_SET_MAX];
	uint32_t n = 0;

	if (target_set_open_cgroup(t->cgroup, path, sizeof(path), pids, &n, TARGET_SET_MAX, why,
				   sizeof(why)))
		return;
	for (uint32_t i = 0; i < n; i++)
		add(t, pids[i]);
}

static void add_forked(struct target_set *t, struct bpf *b)
{
	uint32_t pid = 0;

	for (uint32_t i = 0; i < BPF_TARGETS_MAX && !bpf_target_next(b, i ? &pid : NULL, &pid);
	     i++) {
		struct target_process *p;

		add(t, (pid_t)pid);
		p = target_set_find(t, (pid_t)pid);
		if (p)
			p->mapped = true;
	}
	t->unwatched += bpf_unfollowed(b);
}

/* The kernel's numbers of those that came. */
static void translate(struct target_set *t, struct bpf *b)
{
	struct contract_whois *rows;
	bool wanted = !t->first_tgid;
	int n;

	for (uint32_t i = 0; i < t->n; i++)
		wanted |= !t->v[i].tgid && !t->v[i].gone;
	rows = wanted ? calloc(WHOIS_MAX, sizeof(*rows)) : NULL;
	n = rows ? bpf_whois(b, rows, WHOIS_MAX) : 0;
	for (int i = 0; i < n; i++) {
		struct target_process *p = target_set_find(t, (pid_t)rows[i].ns_tgid);

		if (p)
			p->tgid = rows[i].tgid;
		else if ((pid_t)rows[i].ns_tgid == t->first)
			t->first_tgid = rows[i].tgid;
	}
	free(rows);
}

static uint32_t tgid_of(struct target_set *t, pid_t pid)
{
	struct target_process *p = target_set_find(t, pid);

	if (!t->translated)
		return (uint32_t)pid;
	return p ? p->tgid : pid == t->first ? t->first_tgid : 0;
}

pid_t target_set_pid_of(struct target_set *t, uint32_t tgid)
{
	if (!t->translated)
		return (pid_t)tgid;
	if (tgid == t->first_tgid)
		return t->first;
	for (uint32_t i = 0; i < t->n; i++)
		if (t->v[i].tgid == tgid)
			return t->v[i].pid;
	return 0;
}

/*
 * At first children that were there before; then eBPF tells of new ones, unless it does by numbers
 * that are no pids here.
 */
static void add_newcomers(struct target_set *t, struct bpf *b)
{
	const bool told = b && !t->translated;

	if (!told || t->looks < 2)
		add_children(t);
	if (told)
		add_forked(t, b);
}

static void fill_cpu(struct target_set *t, struct target_process *p, const struct procfs_stat *st,
		     uint64_t ns)
{
	uint64_t ticks = st->utime + st->stime;
	double pct = ns && !p->fresh ? 100.0 * (double)t->tick_ns / (double)ns : 0;

	p->row.cpu_pct = pct * (double)(ticks - p->cpu_ticks);
	p->cpu_ticks = ticks;
	p->fresh = false;
}

/* One file more to read for each: of many, some at each look. */
static void fill_io(struct target_set *t, struct target_process *p, struct process_use *now)
{
	uint64_t in, out, turns = 1 + t->n / IO_LOOKS;

	now->read_bytes = p->use.read_bytes;
	now->write_bytes = p->use.write_bytes;
	if ((p->old || (t->looks + (uint64_t)(p - t->v)) % turns == 0) &&
	    !procfs_io(p->pid, &in, &out)) {
		now->read_bytes = (int64_t)in;
		now->write_bytes = (int64_t)out;
	}
}

static void fill_use(struct target_set *t, struct target_process *p, const struct procfs_stat *st)
{
	struct process_use now;

	process_use_of_stat(st, t->tick_ns, t->by_parents, &now);
	fill_io(t, p, &now);
	if (!p->old) {
		process_use_add(&t->use, &now);
		process_use_sub(&t->use, &p->use);
	}
	p->use = now;
	p->old = false;
}

/* All that it had used comes again with its end: in the kernel's sum, or with who waited for it. */
static void lose_use(struct target_set *t, const struct target_process *p)
{
	if (!p->old && (t->by_parents ? is_member(t, p->parent) : p->mapped))
		process_use_sub(&t->use, &p->use);
}

static void add_ended(struct target_set *t, const struct bpf *b)
{
	struct process_use more = {0};
	struct procfs_stat st;

	if (!t->looks)
		t->by_parents = t->follow && !b;
	if (b) {
		process_use_ended(&t->ended, bpf_ended(b), &more);
	} else if (t->by_parents && !procfs_stat(t->first, &st)) {
		struct process_use own;

		process_use_of_stat(&st, t->tick_ns, true, &more);
		process_use_of_stat(&st, t->tick_ns, false, &own);
		process_use_sub(&more, &own);
		own = more;
		process_use_sub(&more, &t->first_children);
		t->first_children = own;
	}
	if (t->looks)
		process_use_add(&t->use, &more);
}

/* It may be another process by now, of the same number. */
static void look_at(struct target_set *t, struct target_process *p, uint64_t ns)
{
	struct procfs_stat st;

	if (procfs_stat(p->pid, &st) || st.starttime != p->starttime || st.state == 'Z' ||
	    st.state == 'X' || (st.exiting && st.num_threads <= 1)) {
		p->gone = true;
		p->row.state = 'X';
		p->row.cpu_pct = 0;
		lose_use(t, p);
		t->gone++;
		return;
	}
	p->row.pid = p->pid;
	p->row.parent = p->parent = st.ppid;
	p->row.state = st.state;
	p->row.threads = st.num_threads;
	p->row.rss_bytes = st.rss_pages * (uint64_t)t->page_bytes;
	snapshot_string(p->row.comm, sizeof(p->row.comm), st.comm);
	fill_cpu(t, p, &st, ns);
	fill_use(t, p, &st);
}

static void drop_gone(struct target_set *t, struct bpf *b)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		struct target_process *p = &t->v[i];

		if (p->gone) {
			if (b && p->mapped)
				bpf_target_remove(b, p->tgid);
			close_one(t, p);
			continue;
		}
		t->v[n++] = *p;
	}
	t->n = n;
}

void target_set_refresh(struct target_set *t, struct bpf *b, uint64_t now_ns)
{
	uint64_t ns = t->last_ns ? now_ns - t->last_ns : 0;

	t->unwatched = 0;
	/* First: what ends from here on may miss for one look, and is not there twice. */
	add_ended(t, b);
	drop_gone(t, b);
	if (t->cgroup)
		add_cgroup(t);
	t->translated = b && bpf_translates(b);
	if (t->follow)
		add_newcomers(t, b);
	if (t->translated)
		translate(t, b);
	for (uint32_t i = 0; i < t->n; i++) {
		struct target_process *p = &t->v[i];

		if (b && !p->mapped && p->tgid)
			p->mapped = !bpf_target_add(b, p->tgid, tgid_of(t, p->parent));
		look_at(t, p, ns);
		if (p->symbols && !p->gone)
			symbols_refresh(p->symbols);
	}
	t->looks++;
	t->last_ns = now_ns;
}

/*
 * A child that has just come maps a program with its next execve, and libraries in the milliseconds
 * after: its mappings are read at each glance, later at ticks.
 */
#define YOUNG_NS 200000000ull

enum { GLANCE_MAX = 64 }; /* processes looked at: some 100 us each */

bool target_set_glance(struct target_set *t, struct bpf *b, struct symbols *first, uint64_t now_ns)
{
	uint64_t news = bpf_follow_news(b);
	uint32_t looked = 0, before = t->n;
	bool other = false;

	if (news != t->news)
		t->news_ns = now_ns;
	if (!t->follow || !first || now_ns - t->news_ns > YOUNG_NS)
		return false;
	if (news != t->news)
		add_newcomers(t, b);
	t->news = news;
	for (uint32_t i = 0; i < t->n && looked < GLANCE_MAX; i++) {
		struct target_process *p = &t->v[i];

		if (p->gone || now_ns - p->found_ns > YOUNG_NS)
			continue;
		looked++;
		if (!p->opened) {
			target_set_symbols(t, p->pid, first);
			other |= p->symbols != NULL;
		} else if (p->symbols) {
			uint64_t known = symbols_generation(p->symbols);

			symbols_expect(p->symbols);
			symbols_refresh(p->symbols);
			other |= symbols_generation(p->symbols) != known;
		}
	}
	return other || t->n > before;
}

void target_set_promote(struct target_set *t, pid_t pid)
{
	struct target_process *p = target_set_find(t, pid);

	t->first = pid;
	t->first_tgid = p ? p->tgid : 0;
	t->looks = 0;
	if (!p)
		return;
	close_one(t, p);
	t->n--;
	memmove(p, p + 1, (size_t)(t->v + t->n - p) * sizeof(*p));
	for (uint32_t i = 0; i < t->n; i++)
		t->v[i].old = true;
}

struct symbols *target_set_symbols(struct target_set *t, pid_t pid, struct symbols *first)
{
	struct target_process *p = target_set_find(t, pid);

	if (!p)
		return NULL;
	if (p->opened || p->gone || !first || t->nsymbols >= TARGET_SET_SYMBOLS)
		return p->symbols;
	p->opened = true;
	p->symbols = symbols_new_beside(pid, first);
	if (p->symbols && symbols_refresh(p->symbols)) {
		symbols_free(p->symbols);
		p->symbols = NULL;
	}
	t->nsymbols += p->symbols != NULL;
	return p->symbols;
}

struct unwinder *target_set_unwinder(struct target_set *t, pid_t pid, struct symbols *first)
{
	struct symbols *syms = target_set_symbols(t, pid, first);
	struct target_process *p = target_set_find(t, pid);

	if (syms && !p->unwinder)
		p->unwinder = unwind_new(syms);
	return p ? p->unwinder : NULL;
}
