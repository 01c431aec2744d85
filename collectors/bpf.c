/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf.c: load the eBPF object: what the target needs, what this kernel has, why the rest is out.
 * Long because programs, maps and links are all asked of the one loaded object, whose state it
 * keeps.
 */
#include "collectors/bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "collectors/bpf_beside.h"
#include "collectors/bpf_prepare.h"
#include "collectors/bpf_programs.h"
#include "collectors/clock.h"
#include "collectors/procfs.h"
#include "collectors/snapshot.h"
#include "collectors/syscalls.h"
#include "collectors/uprobe_link.h"
#include "perftop.skel.h"
#include "probes/contract.h"

enum { BPF_MAX_PROGRAMS = 64, BPF_MAX_LINKS = 32, BPF_MAX_MAPPINGS = 16, BPF_MIN_FILES = 150 };

struct bpf_program_state {
	char name[32];
	bool wanted, tried;
	char reason[SNAP_TEXT]; /* why it did not load; "" when it did */
};

struct bpf {
	struct perftop_bpf *skel;
	struct bpf_prepare *prepare;
	pid_t pid;	 /* as perftop sees it */
	bool many;	 /* other processes too */
	bool translates; /* several, in a pid namespace */
	uint32_t tgid;	 /* as the kernel does: another one when perftop is in a pid namespace */
	uint32_t ncpu;
	int whois_fd;	      /* link of that iterator, -1 until it is asked */
	bool sched_accounted; /* run queues can be read, and the account of time in them */
	bool sched_clocked;   /* and their clock may stand for CLOCK_MONOTONIC */
	struct bpf_program_state programs[BPF_MAX_PROGRAMS];
	uint32_t nprograms;
	struct {
		struct bpf_link *link;
		const char *program; /* its name in the object */
	} links[BPF_MAX_LINKS];
	uint32_t nlinks;
	struct {
		void *at;
		size_t size;
	} mappings[BPF_MAX_MAPPINGS];
	uint32_t nmappings;
};

/* The last warning that libbpf printed: the reason for a failed load. One session at a time. */
static __thread char libbpf_message[SNAP_TEXT];
static __thread char verifier_message[SNAP_TEXT];

/* What the verifier says last, before its count of steps: why it refuses the program. */
static void keep_verdict(const char *log)
{
	const char *end = strstr(log, "\nprocessed "), *line;

	if (!end)
		return;
	for (line = end; line > log && line[-1] != '\n'; line--)
		;
	snprintf(verifier_message, sizeof(verifier_message), "%.*s", (int)(end - line), line);
}

/* With PERFTOP_BPF_LOG set, all that libbpf says goes to the standard error output as well. */
static int keep_message(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char *text;

	if (level != LIBBPF_WARN || vasprintf(&text, fmt, args) < 0)
		return 0;
	if (getenv("PERFTOP_BPF_LOG"))
		fputs(text, stderr);
	if (strstr(text, "-- BEGIN PROG LOAD LOG")) {
		keep_verdict(text);
	} else if (!strstr(text, "failed to load object") &&
		   !strstr(text, "failed to load BPF skeleton")) {
		text[strcspn(text, "\n")] = '\0';
		snapshot_string(libbpf_message, sizeof(libbpf_message),
				strncmp(text, "libbpf: ", 8) ? text : text + 8);
	}
	free(text);
	return 0;
}

static int resize_map(struct bpf_map *map, uint64_t entries)
{
	if (!map)
		return -ENOENT;
	return bpf_map__set_max_entries(map, entries > UINT32_MAX ? UINT32_MAX : (uint32_t)entries);
}

/* Those that stand in for another are wanted where that one is out. How many are so newly? */
static uint32_t choose_stand_ins(struct bpf *b, const struct bpf_request *req)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->nprograms; i++) {
		struct bpf_program_state *st = &b->programs[i];
		const char *other = bpf_program_stands_in_for(st->name);
		bool was = st->wanted;

		for (uint32_t k = 0; other && k < b->nprograms; k++)
			if (!strcmp(b->programs[k].name, other))
				st->wanted = bpf_program_wanted(req, st->name) &&
					     b->programs[k].reason[0];
		n += st->wanted && !was;
	}
	return n;
}

/* Once: what there is to load. */
static int list_programs(struct bpf *b, const struct bpf_request *req,
			 const struct perftop_bpf *skel)
{
	struct bpf_program *p;

	bpf_object__for_each_program (p, skel->obj) {
		struct bpf_program_state *st = &b->programs[b->nprograms];
		const char *tp = bpf_program_tracepoint(p);

		if (b->nprograms == BPF_MAX_PROGRAMS)
			return -E2BIG; /* BPF_MAX_PROGRAMS is too small for what was added */
		b->nprograms++;
		snapshot_string(st->name, sizeof(st->name), bpf_program__name(p));
		st->wanted = bpf_program_wanted(req, st->name);
		if (tp && !bpf_prepare_has_tracepoint(b->prepare, tp))
			snprintf(st->reason, sizeof(st->reason),
				 "the kernel has no tracepoint %.100s", tp);
	}
	choose_stand_ins(b, req);
	return 0;
}

static struct perftop_bpf *open_object(struct bpf *b, const struct bpf_request *req)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = bpf_prepare_path(b->prepare));
	struct perftop_bpf *skel = perftop_bpf__open_opts(&opts);
	int err = skel ? bpf_prepare_object(b->prepare, skel->obj) : -errno;

	if (!err && !b->nprograms)
		err = list_programs(b, req, skel);
	if (!err)
		return skel;
	perftop_bpf__destroy(skel);
	errno = -err;
	return NULL;
}

/* Under way: a disk takes at most 1,023 by each of its queues, of which a CPU has one. */
static uint64_t most_block_requests(uint32_t ncpu)
{
	return ncpu < CONTRACT_BLOCK_REQUESTS / 1024 ? ncpu * 1024 : CONTRACT_BLOCK_REQUESTS;
}

static struct perftop_bpf *open_skeleton(struct bpf *b, const struct bpf_request *req,
					 const char *only)
{
	struct perftop_bpf *skel = open_object(b, req);
	bool native = !procfs_is_32_bit(req->pid); /* else its system calls have other numbers */
	struct bpf_program *p;
	uint32_t n = 0;

	if (!skel)
		return NULL;
	skel->rodata->target_tgid = b->tgid;
	skel->rodata->target_many = req->many;
	skel->rodata->kfunc_has_cast = bpf_prepare_has_kfunc(b->prepare, "bpf_rdonly_cast");
	skel->rodata->ncpu = b->ncpu;
	skel->rodata->nr_futex = (uint32_t)syscall_nr("futex");
	for (uint32_t nr = 0; nr < CONTRACT_SYSCALLS; nr++) {
		skel->rodata->syscall_wait[nr] =
			(uint8_t)(native ? syscall_wait_class(nr) : WAIT_OTHER);
		skel->rodata->syscall_fd[nr] = (uint8_t)syscall_fd_class(nr);
		skel->rodata->syscall_turn[nr] = (uint8_t)syscall_turn(nr);
	}
	if (!bpf_has_map_alloc())
		bpf_map__set_map_flags(skel->maps.locks, 0);
	if (!req->many)
		resize_map(skel->maps.targets, 1);
	resize_map(skel->maps.sample_buffers, req->sample ? b->ncpu : 1);
	resize_map(skel->maps.sched_hist, (uint64_t)WAIT_CLASSES * b->ncpu);
	resize_map(skel->maps.syscall_hist,
		   req->syscalls ? (uint64_t)CONTRACT_SYSCALL_SLOTS * b->ncpu : 1);
	resize_map(skel->maps.loop_turns, req->syscalls ? b->ncpu : 1);
	resize_map(skel->maps.fault_counts, req->faults ? b->ncpu : 1);
	if (!req->faults)
		resize_map(skel->maps.fault_ring, (uint64_t)sysconf(_SC_PAGESIZE));
	skel->rodata->block_copies =
		b->ncpu < CONTRACT_BLOCK_COPIES ? b->ncpu : CONTRACT_BLOCK_COPIES;
	resize_map(skel->maps.block_starts, most_block_requests(b->ncpu));
	resize_map(skel->maps.block_hist,
		   req->block ? (uint64_t)CONTRACT_BLOCK_ROWS * skel->rodata->block_copies : 1);
	skel->rodata->func_copies = req->func_copies;
	skel->rodata->tail_on = req->tails && req->nslots;
	skel->rodata->sched_accounted = b->sched_accounted;
	skel->rodata->sched_clocked =
		b->sched_accounted && b->sched_clocked && !skel->rodata->tail_on;
	resize_map(skel->maps.tail_slots, req->tails && req->nslots ? req->nslots : 1);
	if (!req->tails || !req->nslots)
		resize_map(skel->maps.tails, (uint64_t)sysconf(_SC_PAGESIZE));
	resize_map(skel->maps.func_hist,
		   req->nslots && !req->func_copies ? (uint64_t)req->nslots * b->ncpu : 1);
	resize_map(skel->maps.func_totals,
		   req->func_copies ? (uint64_t)req->nslots * req->func_copies : 1);
	resize_map(skel->maps.func_compact,
		   req->func_copies ? (uint64_t)req->nslots * req->func_copies : 1);
	if (!req->nslots)
		resize_map(skel->maps.func_go_calls, 1);
	if (!req->sample)
		resize_map(skel->maps.samples, (uint64_t)sysconf(_SC_PAGESIZE));
	bpf_object__for_each_program (p, skel->obj) {
		const char *name = bpf_program__name(p);
		bool load = only ? !strcmp(only, name)
				 : b->programs[n].wanted && !b->programs[n].reason[0];

		bpf_program__set_autoload(p, load);
		if (!strncmp(name, "func_session", 12))
			bpf_program__set_expected_attach_type(
				p, (enum bpf_attach_type)UPROBE_LINK_SESSION);
		else if (!strcmp(bpf_program_family(name), "func"))
			bpf_program__set_expected_attach_type(
				p, (enum bpf_attach_type)UPROBE_LINK_MULTI);
		n++;
	}
	return skel;
}

static int load_skeleton(struct bpf *b, struct perftop_bpf *skel, struct bpf_beside *large)
{
	int err;

	bpf_prepare_begin(b->prepare, large);
	err = perftop_bpf__load(skel);
	bpf_prepare_end();
	return err;
}

static void drop_links(struct bpf *b)
{
	while (b->nlinks)
		bpf_link__destroy(b->links[--b->nlinks].link);
}

static int load_alone(struct bpf *b, const struct bpf_request *req, const char *name)
{
	struct perftop_bpf *skel;
	int err;

	libbpf_message[0] = verifier_message[0] = '\0';
	skel = open_skeleton(b, req, name);
	err = skel ? load_skeleton(b, skel, NULL) : -errno;
	perftop_bpf__destroy(skel);
	return err;
}

static bool is_refused(struct bpf *b, const struct bpf_request *req, struct bpf_program_state *st)
{
	int err = load_alone(b, req, st->name);

	if (!err)
		return false;
	snprintf(st->reason, sizeof(st->reason), "the kernel refused it: %.180s (%s)",
		 verifier_message[0] ? verifier_message : libbpf_message, strerror(-err));
	if (!b->sched_accounted)
		return true;
	/* Where run queues cannot be read, or keep no account of the time in them. */
	b->sched_accounted = false;
	if (load_alone(b, req, st->name)) {
		b->sched_accounted = true;
		return true;
	}
	st->reason[0] = '\0';
	return false;
}

/* Something did not load: find out which programs this kernel refuses, one by one. */
static uint32_t find_refused(struct bpf *b, const struct bpf_request *req)
{
	uint32_t usable = 0;

	for (uint32_t i = 0; i < b->nprograms; i++) {
		struct bpf_program_state *st = &b->programs[i];

		if (!st->wanted || st->reason[0] || st->tried)
			continue;
		st->tried = true;
		if (!is_refused(b, req, st)) {
			usable++;
		} else if (choose_stand_ins(b, req)) {
			i = UINT32_MAX; /* from the first again: they may come before it */
		}
	}
	return usable;
}

/* The last slot is no function's: what is calibrated there pays for tails as the others do. */
static void arm_last_slot(const struct bpf *b, const struct bpf_request *req)
{
	const struct contract_tail_slot armed = {.threshold_ns = UINT64_MAX};
	uint32_t last = req->nslots - 1;

	if (req->tails && req->nslots)
		bpf_map_update_elem(bpf_map__fd(b->skel->maps.tail_slots), &last, &armed, BPF_ANY);
}

/* at_once: large programs by threads beside libbpf. */
static int load(struct bpf *b, const struct bpf_request *req, bool at_once)
{
	struct bpf_beside beside = {.n = 0};
	int err;

	b->skel = open_skeleton(b, req, NULL);
	if (!b->skel)
		return -errno;
	err = load_skeleton(b, b->skel, at_once ? &beside : NULL);
	err = bpf_beside_end(&beside, err);
	if (!err) {
		arm_last_slot(b, req);
		return 0;
	}
	perftop_bpf__destroy(b->skel);
	b->skel = NULL;
	return err;
}

/* The iterator takes a pid of our namespace and sees the kernel's: ask it for one row. */
static int find_tgid(struct bpf *b, const struct bpf_request *req)
{
	struct contract_thread row;
	char why[SNAP_TEXT];
	int fd, err;

	b->tgid = (uint32_t)req->pid;
	if (procfs_in_first_pid_namespace())
		return 0;
	b->tgid = 0;
	b->skel = open_skeleton(b, req, "iter_threads");
	if (!b->skel)
		return -errno;
	err = load_skeleton(b, b->skel, NULL);
	if (!err) {
		fd = bpf_attach_iter(b, "iter_threads", why, sizeof(why));
		fd = fd < 0 ? fd : bpf_iter_create(fd);
		err = fd < 0 ? fd : 0;
		if (fd >= 0) {
			err = read(fd, &row, sizeof(row)) == sizeof(row) ? 0 : -ESRCH;
			close(fd);
		}
	}
	if (!err)
		b->tgid = row.tgid;
	drop_links(b);
	perftop_bpf__destroy(b->skel);
	b->skel = NULL;
	return err < 0 ? err : 0;
}

static void say_why(int err, char *why, size_t why_size, char *fix, size_t fix_size)
{
	char exe[192] = "perftop";
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	struct rlimit files;

	if (n > 0)
		exe[n] = '\0';
	fix[0] = '\0';
	/* libbpf may report it as another error, met while it tries something simpler. */
	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < BPF_MIN_FILES) {
		snprintf(why, why_size,
			 "only %llu open files are allowed; loading eBPF programs takes some 100",
			 (unsigned long long)files.rlim_cur);
		snprintf(fix, fix_size, "ulimit -n 1024");
	} else if (err == -EPERM || err == -EACCES) {
		snprintf(why, why_size, "no permission to load eBPF programs");
		snprintf(fix, fix_size, "sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace=ep %s",
			 exe);
	} else if (access("/sys/kernel/btf/vmlinux", R_OK)) {
		snprintf(why, why_size,
			 "this kernel has no type information (/sys/kernel/btf/vmlinux)");
		snprintf(fix, fix_size, "use a kernel built with CONFIG_DEBUG_INFO_BTF=y");
	} else if (!bpf_has_task_storage()) {
		snprintf(why, why_size,
			 "this kernel's eBPF keeps nothing by thread (no task storage)");
		snprintf(fix, fix_size, "use Linux 5.15 or later");
	} else {
		snprintf(why, why_size, "loading eBPF programs failed: %.120s (%s)", libbpf_message,
			 strerror(-err));
	}
}

struct bpf *bpf_new(const struct bpf_request *req, char *why, size_t why_size, char *fix,
		    size_t fix_size)
{
	struct bpf *b = calloc(1, sizeof(*b));
	int err = -ENOMEM;

	fix[0] = '\0';
	if (!b) {
		snprintf(why, why_size, "out of memory");
		return NULL;
	}
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(keep_message);
	b->whois_fd = -1;
	b->ncpu = procfs_cpu_ids();
	b->sched_accounted = req->offcpu;
	b->sched_clocked = req->offcpu && clock_scheduler_shared();
	b->pid = req->pid;
	b->prepare = bpf_prepare_new();
	err = b->prepare ? find_tgid(b, req) : -errno;
	b->many = req->many;
	b->translates = bpf_request_translates(req);
	if (!err)
		err = load(b, req, b->ncpu > 1);
	if (err && err != -EPERM && bpf_has_task_storage() && find_refused(b, req))
		err = load(b, req, false);
	if (!err)
		return b;
	say_why(err, why, why_size, fix, fix_size);
	bpf_free(b);
	return NULL;
}

void bpf_free(struct bpf *b)
{
	if (!b)
		return;
	drop_links(b);
	for (uint32_t i = 0; i < b->nmappings; i++)
		munmap(b->mappings[i].at, b->mappings[i].size);
	perftop_bpf__destroy(b->skel);
	bpf_prepare_free(b->prepare);
	free(b);
}

struct perftop_bpf *bpf_skeleton(struct bpf *b)
{
	return b->skel;
}

uint32_t bpf_ncpu(const struct bpf *b)
{
	return b->ncpu;
}

bool bpf_needs_wakes(const struct bpf *b)
{
	return !b->skel->rodata->sched_accounted || b->skel->rodata->tail_on;
}

uint64_t bpf_unfollowed(const struct bpf *b)
{
	return b->skel->bss->follow_lost;
}

uint64_t bpf_follow_news(const struct bpf *b)
{
	return __atomic_load_n(&b->skel->bss->follow_news, __ATOMIC_RELAXED);
}

const struct contract_ended *bpf_ended(const struct bpf *b)
{
	return (const struct contract_ended *)b->skel->bss->ended;
}

uint64_t bpf_execs(const struct bpf *b)
{
	return b->skel->bss->target_execs;
}

static struct bpf_program *find_program(struct bpf *b, const char *name, char *why, size_t why_size)
{
	for (uint32_t i = 0; i < b->nprograms; i++) {
		if (strcmp(b->programs[i].name, name))
			continue;
		if (b->programs[i].wanted && !b->programs[i].reason[0])
			return bpf_object__find_program_by_name(b->skel->obj, name);
		snprintf(why, why_size, "%s: %.200s", name,
			 b->programs[i].wanted ? b->programs[i].reason : "not asked for");
		return NULL;
	}
	snprintf(why, why_size, "%s: no such program", name);
	return NULL;
}

int bpf_program_fd(struct bpf *b, const char *name, char *why, size_t why_size)
{
	struct bpf_program *p = find_program(b, name, why, why_size);

	return p ? bpf_program__fd(p) : -ENOENT;
}

/* Keep what an attach gave, or say why it gave nothing; errno is the attach's. */
static int keep_link(struct bpf *b, struct bpf_link *link, const struct bpf_program *p, char *why,
		     size_t why_size)
{
	int err = -errno;

	if (!link) {
		snprintf(why, why_size, "attaching %s failed: %s", bpf_program__name(p),
			 strerror(-err));
		return err;
	}
	if (b->nlinks == BPF_MAX_LINKS) {
		snprintf(why, why_size, "more than %d programs are attached", BPF_MAX_LINKS);
		bpf_link__destroy(link);
		return -ENOSPC;
	}
	b->links[b->nlinks].link = link;
	b->links[b->nlinks++].program = bpf_program__name(p);
	return 0;
}

int bpf_attach_tp(struct bpf *b, const char *program, char *why, size_t why_size)
{
	struct bpf_program *p = find_program(b, program, why, why_size);

	return p ? keep_link(b, bpf_program__attach_trace(p), p, why, why_size) : -ENOENT;
}

void bpf_detach_tp(struct bpf *b, const char *program)
{
	for (uint32_t i = 0; i < b->nlinks; i++) {
		if (strcmp(b->links[i].program, program))
			continue;
		bpf_link__destroy(b->links[i].link);
		b->links[i] = b->links[--b->nlinks];
		return;
	}
}

int bpf_attach_iter(struct bpf *b, const char *program, char *why, size_t why_size)
{
	union bpf_iter_link_info info;
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));
	struct bpf_program *p = find_program(b, program, why, why_size);
	struct bpf_link *link;
	int err;

	if (!p)
		return -ENOENT;
	memset(&info, 0, sizeof(info));
	info.task.pid = b->many ? 0 : (uint32_t)b->pid;
	link = bpf_program__attach_iter(p, &opts);
	err = keep_link(b, link, p, why, why_size);
	return err ? err : bpf_link__fd(link);
}

bool bpf_translates(const struct bpf *b)
{
	return b->translates;
}

int bpf_whois(struct bpf *b, struct contract_whois *rows, uint32_t max)
{
	size_t have = 0, size = max * sizeof(*rows);
	char why[SNAP_TEXT];
	ssize_t got = 1;
	int fd;

	if (b->whois_fd < 0)
		b->whois_fd = bpf_attach_iter(b, "iter_whois", why, sizeof(why));
	if (b->whois_fd < 0)
		return b->whois_fd;
	fd = bpf_iter_create(b->whois_fd);
	if (fd < 0)
		return -errno;
	while (have < size && got > 0) {
		got = read(fd, (char *)rows + have, size - have);
		have += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	return (int)(have / sizeof(*rows));
}

void *bpf_map_array(struct bpf *b, int map_fd, size_t value_size, size_t entries, bool writable)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	/* Array values sit at multiples of 8. */
	size_t size = (((value_size + 7) & ~(size_t)7) * entries + page - 1) & ~(page - 1);
	void *at;

	if (b->nmappings == BPF_MAX_MAPPINGS)
		return NULL;
	at = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, map_fd, 0);
	if (at == MAP_FAILED)
		return NULL;
	b->mappings[b->nmappings].at = at;
	b->mappings[b->nmappings++].size = size;
	return at;
}

int bpf_target_add(struct bpf *b, uint32_t pid, uint32_t parent)
{
	return bpf_map_update_elem(bpf_map__fd(b->skel->maps.targets), &pid, &parent, BPF_ANY);
}

int bpf_target_remove(struct bpf *b, uint32_t pid)
{
	return bpf_map_delete_elem(bpf_map__fd(b->skel->maps.targets), &pid);
}

int bpf_target_next(struct bpf *b, const uint32_t *after, uint32_t *pid)
{
	return bpf_map_get_next_key(bpf_map__fd(b->skel->maps.targets), after, pid);
}
