/* SPDX-License-Identifier: Apache-2.0 */
/* func_attach.c: links for the sites of a plan. */
#include "collectors/func_attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/func_hist.h"
#include "collectors/latency.h"
#include "collectors/probe_plan.h"
#include "collectors/target_set.h"
#include "collectors/uprobe_link.h"
#include "perftop.skel.h"

/* Programs of func.bpf.h and func_go.bpf.h, in the order in which a site's links are opened: a
 * return must not be seen before its entry could be. */
enum func_program {
	FUNC_SESSION,
	FUNC_PAIR_ENTRY,
	FUNC_PAIR_RETURN,
	FUNC_EXIT,
	FUNC_GO_ENTRY,
	FUNC_GO_CHECKED,
	FUNC_GO_EXIT,
	FUNC_GO_COUNT,
	FUNC_COUNT,
	FUNC_MARK_BEGIN,
	FUNC_MARK_END,
	FUNC_PROGRAMS
};
static const char *const program_names[FUNC_PROGRAMS] = {
	"func_session",	 "func_pair_entry", "func_pair_return", "func_exit",
	"func_go_entry", "func_go_checked", "func_go_exit",	"func_go_count",
	"func_count",	 "func_mark_begin", "func_mark_end",
};

enum { FUNC_MAX_LINKS = 4096, FUNC_CALIBRATE_CALLS = 8, FUNC_FIRST_TURN = 1 };

struct func_links {
	int fds[FUNC_MAX_LINKS];
	uint32_t n;
};

struct func_attach {
	struct bpf *b;
	const struct probe_plan *plan;
	pid_t pid;
	bool sessions;
	struct target_set *others; /* NULL = none */
	struct func_links steady, windowed, retired;
	uint32_t slots;
	uint8_t *set;  /* enum func_set by slot */
	uint8_t *turn; /* of the newest link of each slot */
	uint8_t *now;  /* whose turn it is: in the kernel */
	/* Scratch for one link, as long as a plan can have sites. */
	uint64_t *offsets, *ref_ctrs, *cookies;
};

static bool program_of_site(const struct func_attach *a, const struct probe_site *site,
			    enum func_program program)
{
	const struct probe_row *row = probe_plan_row(a->plan, site->row);

	switch (row->how) {
	case PROBE_LATENCY:
		if (row->goroutines)
			return program == (site->end	    ? FUNC_GO_EXIT
					   : site->go_check ? FUNC_GO_CHECKED
							    : FUNC_GO_ENTRY);
		if (row->exits)
			return program == (site->end ? FUNC_EXIT : FUNC_PAIR_ENTRY);
		return a->sessions ? program == FUNC_SESSION
				   : program == FUNC_PAIR_ENTRY || program == FUNC_PAIR_RETURN;
	case PROBE_COUNT:
		return program == (site->go_check ? FUNC_GO_COUNT : FUNC_COUNT);
	case PROBE_PAIR:
		return program == (site->end ? FUNC_MARK_END : FUNC_MARK_BEGIN);
	default:
		return false;
	}
}

static int init_arrays(struct func_attach *a)
{
	a->offsets = calloc(PROBE_PLAN_SITES, sizeof(uint64_t));
	a->ref_ctrs = calloc(PROBE_PLAN_SITES, sizeof(uint64_t));
	a->cookies = calloc(PROBE_PLAN_SITES, sizeof(uint64_t));
	a->set = calloc(a->slots, 1);
	a->turn = malloc(a->slots);
	if (!a->offsets || !a->ref_ctrs || !a->cookies || !a->set || !a->turn)
		return -ENOMEM;
	memset(a->turn, FUNC_FIRST_TURN, a->slots);
	return 0;
}

struct func_attach *func_attach_new(struct bpf *b, const struct probe_plan *plan, pid_t pid,
				    char *why, size_t why_size)
{
	struct func_attach *a = calloc(1, sizeof(*a));
	char other[SNAP_TEXT];

	snprintf(why, why_size, "out of memory");
	if (!a)
		return NULL;
	a->b = b;
	a->plan = plan;
	a->pid = pid;
	a->slots = probe_plan_slots(plan);
	a->now = bpf_skeleton(b)->bss->func_turn;
	if (init_arrays(a)) {
		func_attach_free(a);
		return NULL;
	}
	a->sessions = bpf_program_fd(b, program_names[FUNC_SESSION], why, why_size) >= 0;
	if (!a->sessions && !bpf_has_uprobe_multi()) {
		snprintf(why, why_size, "Linux before 6.6 cannot place many user probes at once");
		func_attach_free(a);
		return NULL;
	}
	/* Sessions were asked for and refused: why says so already. */
	if (!a->sessions &&
	    bpf_program_fd(b, program_names[FUNC_PAIR_RETURN], other, sizeof(other)) < 0) {
		func_attach_free(a);
		return NULL;
	}
	return a;
}

/* At once: whoever stops wants the target left alone on return. Else by a thread of its own. */
static void close_links(struct func_links *l, bool at_once)
{
	while (l->n) {
		int fd = l->fds[--l->n];

		if (at_once)
			close(fd);
		else
			uprobe_link_close_later(fd);
	}
}

void func_attach_free(struct func_attach *a)
{
	if (!a)
		return;
	close_links(&a->windowed, true);
	close_links(&a->steady, true);
	close_links(&a->retired, true);
	free(a->offsets);
	free(a->ref_ctrs);
	free(a->cookies);
	free(a->set);
	free(a->turn);
	free(a);
}

static bool is_file(const char *path, const struct probe_file *file)
{
	struct stat st;

	return !stat(path, &st) && st.st_ino == file->inode && st.st_dev == file->dev;
}

/*
 * The mapping itself is exact, also for deleted files; the path serves who may not follow it, and
 * where the process that mapped it has ended. False: the file is no more, so neither is the code.
 */
static bool attach_path(const struct func_attach *a, const struct probe_file *file, pid_t pid,
			char *buf, size_t size)
{
	pid_t mapped_by = file->pid ? file->pid : a->pid;

	snprintf(buf, size, "/proc/%d/map_files/%llx-%llx", (int)mapped_by,
		 (unsigned long long)file->start, (unsigned long long)file->end);
	if (is_file(buf, file))
		return true;
	snprintf(buf, size, "/proc/%d/root%s", (int)mapped_by, file->path);
	if (is_file(buf, file))
		return true;
	snprintf(buf, size, "/proc/%d/root%s", (int)pid, file->path);
	if (is_file(buf, file))
		return true;
	snprintf(buf, size, "%s", file->path);
	return is_file(buf, file);
}

static uint32_t gather_sites(struct func_attach *a, uint32_t file, enum func_program program,
			     enum func_set set, uint32_t from, bool *semaphores)
{
	const struct probe_site *sites;
	uint32_t nsites, n = 0;

	*semaphores = false;
	sites = probe_plan_sites(a->plan, &nsites);
	for (uint32_t i = from; i < nsites; i++) {
		if (sites[i].file != file || a->set[sites[i].row] != set ||
		    !program_of_site(a, &sites[i], program))
			continue;
		a->offsets[n] = sites[i].offset;
		a->ref_ctrs[n] = sites[i].ref_ctr_offset;
		a->cookies[n] = CONTRACT_FUNC_COOKIE(sites[i].row, a->turn[sites[i].row]);
		*semaphores |= sites[i].ref_ctr_offset != 0;
		n++;
	}
	return n;
}

static int open_link(struct func_attach *a, struct uprobe_link *link, enum func_program program,
		     uint32_t file, char *why, size_t why_size)
{
	char reason[SNAP_TEXT];
	int prog = -ENOENT, fd;

	/* The one that knows the cookie spares each call the question. */
	if (program == FUNC_SESSION && link->n == 1 && link->cookies[0] == CONTRACT_FUNC_FIRST)
		prog = bpf_program_fd(a->b, "func_session_first", reason, sizeof(reason));
	if (prog < 0)
		prog = bpf_program_fd(a->b, program_names[program], reason, sizeof(reason));
	if (prog < 0) {
		snprintf(why, why_size, "%s", reason);
		return prog;
	}
	fd = uprobe_link_open(prog, link);
	if (fd < 0)
		snprintf(why, why_size, "probing %.120s failed: %s",
			 probe_plan_file(a->plan, file)->path, strerror(-fd));
	return fd;
}

static int open_file_links(struct func_attach *a, struct func_links *to, pid_t pid, uint32_t file,
			   enum func_set set, uint32_t from, char *why, size_t why_size)
{
	char path[512];

	if (!attach_path(a, probe_plan_file(a->plan, file), pid, path, sizeof(path)))
		return 0;
	for (int p = 0; p < FUNC_PROGRAMS; p++) {
		bool semaphores;
		struct uprobe_link link = {
			.path = path,
			.offsets = a->offsets,
			.cookies = a->cookies,
			.n = gather_sites(a, file, (enum func_program)p, set, from, &semaphores),
			.pid = pid,
			.type = p == FUNC_SESSION ? UPROBE_LINK_SESSION : UPROBE_LINK_MULTI,
			.returns = p == FUNC_PAIR_RETURN,
		};
		int fd;

		if (!link.n)
			continue;
		if (to->n == FUNC_MAX_LINKS) {
			snprintf(why, why_size, "more than %d links", FUNC_MAX_LINKS);
			return -ENOSPC;
		}
		if (semaphores)
			link.ref_ctr_offsets = a->ref_ctrs;
		fd = open_link(a, &link, (enum func_program)p, file, why, why_size);
		if (fd < 0)
			return fd;
		to->fds[to->n++] = fd;
	}
	return 0;
}

static int open_links_of(struct func_attach *a, struct func_links *to, pid_t pid, enum func_set set,
			 uint32_t from, char *why, size_t why_size)
{
	int err = 0;

	for (uint32_t f = 0; f < probe_plan_files(a->plan) && !err; f++)
		err = open_file_links(a, to, pid, f, set, from, why, why_size);
	return err;
}

/* It may have ended meanwhile. */
static int open_links_beside(struct func_attach *a, struct func_links *to, struct target_process *p,
			     enum func_set set, uint32_t from, char *why, size_t why_size)
{
	int err = open_links_of(a, to, p->pid, set, from, why, why_size);

	p->probed = true;
	if (err != -ESRCH)
		return err;
	why[0] = '\0';
	return 0;
}

/* A link is one process's: those of another program that maps the file are left alone. */
static int open_links(struct func_attach *a, struct func_links *to, enum func_set set,
		      uint32_t from, char *why, size_t why_size)
{
	int err = open_links_of(a, to, a->pid, set, from, why, why_size);

	for (uint32_t i = 0; a->others && i < a->others->n && !err; i++) {
		struct target_process *p = &a->others->v[i];

		if (!p->gone)
			err = open_links_beside(a, to, p, set, from, why, why_size);
	}
	return err;
}

void func_attach_beside(struct func_attach *a, struct target_set *others)
{
	a->others = others;
}

int func_attach_newcomers(struct func_attach *a, char *why, size_t why_size)
{
	int err = 0;

	for (uint32_t i = 0; a->others && i < a->others->n && !err; i++) {
		struct target_process *p = &a->others->v[i];

		if (p->probed || p->gone)
			continue;
		err = open_links_beside(a, &a->steady, p, FUNC_STEADY, 0, why, why_size);
	}
	return err;
}

/* Let the newest links of a set's rows count, or none. */
static void give_turn(struct func_attach *a, enum func_set set, bool on)
{
	for (uint32_t i = 0; i < probe_plan_rows(a->plan); i++)
		if (a->set[i] == set)
			__atomic_store_n(&a->now[i], on ? a->turn[i] : 0, __ATOMIC_RELEASE);
}

static void next_turn(struct func_attach *a, enum func_set set)
{
	for (uint32_t i = 0; i < probe_plan_rows(a->plan); i++)
		if (a->set[i] == set && !++a->turn[i])
			a->turn[i] = FUNC_FIRST_TURN;
}

int func_attach_sites(struct func_attach *a, uint32_t from, char *why, size_t why_size)
{
	/* Before they are placed: the first call is counted too. */
	give_turn(a, FUNC_STEADY, true);
	return open_links(a, &a->steady, FUNC_STEADY, from, why, why_size);
}

void func_attach_retire(struct func_attach *a)
{
	close_links(&a->retired, false);
}

/* Successors for all steady links. Their turn comes when all are there. */
static int replace_steady(struct func_attach *a, char *why, size_t why_size)
{
	struct func_links fresh = {.n = 0};
	int err;

	next_turn(a, FUNC_STEADY);
	err = open_links(a, &fresh, FUNC_STEADY, 0, why, why_size);
	if (err) {
		/* The old ones go on. */
		for (uint32_t i = 0; i < probe_plan_rows(a->plan); i++)
			if (a->set[i] == FUNC_STEADY)
				a->turn[i] = a->now[i];
		close_links(&fresh, false);
		return err;
	}
	give_turn(a, FUNC_STEADY, true);
	close_links(&a->retired, false);
	a->retired = a->steady;
	a->steady = fresh;
	return 0;
}

static int join_steady(struct func_attach *a, char *why, size_t why_size)
{
	int err;

	next_turn(a, FUNC_JOINING);
	err = open_links(a, &a->steady, FUNC_JOINING, 0, why, why_size);
	if (!err)
		give_turn(a, FUNC_JOINING, true);
	return err;
}

int func_attach_move(struct func_attach *a, const bool *rows, enum func_set to, char *why,
		     size_t why_size)
{
	uint32_t n = probe_plan_rows(a->plan);
	bool was_steady = false;
	int err = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!rows[i])
			continue;
		was_steady |= a->set[i] == FUNC_STEADY;
		a->set[i] = to == FUNC_STEADY ? FUNC_JOINING : to;
		__atomic_store_n(&a->now[i], 0, __ATOMIC_RELEASE);
	}
	if (to == FUNC_STEADY)
		err = join_steady(a, why, why_size);
	else if (was_steady)
		err = replace_steady(a, why, why_size);
	for (uint32_t i = 0; i < n; i++)
		if (a->set[i] == FUNC_JOINING)
			a->set[i] = err ? FUNC_WINDOWED : FUNC_STEADY;
	return err;
}

int func_attach_window(struct func_attach *a, bool open, char *why, size_t why_size)
{
	int err;

	give_turn(a, FUNC_WINDOWED, false);
	close_links(&a->windowed, false);
	if (!open)
		return 0;
	next_turn(a, FUNC_WINDOWED);
	err = open_links(a, &a->windowed, FUNC_WINDOWED, 0, why, why_size);
	if (err)
		close_links(&a->windowed, false);
	else
		give_turn(a, FUNC_WINDOWED, true);
	return err;
}

void func_attach_calibrate(struct func_attach *a, const struct func_hists *hists,
			   struct func_costs *out)
{
	uint32_t slot = a->slots - 1, i;
	uint64_t seen = 0;
	struct latency_sum *sum = malloc(sizeof(*sum));
	char why[SNAP_TEXT];

	memset(out, 0, sizeof(*out));
	a->now[slot] = FUNC_FIRST_TURN;
	if (!sum || !a->sessions ||
	    calibrate_program(bpf_program_fd(a->b, program_names[FUNC_SESSION], why, sizeof(why)),
			      UPROBE_LINK_SESSION, CONTRACT_FUNC_COOKIE(slot, FUNC_FIRST_TURN),
			      INSN_PUSH, FUNC_CALIBRATE_CALLS, &out->call_ns))
		goto cleanup;
	func_hists_sum(hists, slot, sum);
	/* The median: what is typically in it. */
	for (i = 0; i < BUCKET_COUNT && seen * 2 < sum->count; i++)
		seen += sum->bins[i];
	out->floor_ns = i ? (double)bucket_mid(i - 1) : 0;
	out->measured = sum->count > 0;
cleanup:
	free(sum);
}

double func_costs_call_ns(const struct func_costs *c, const struct calibration *cal,
			  enum insn_kind kind)
{
	return c->call_ns + cal->entry_ns[kind] - cal->entry_ns[INSN_PUSH];
}
