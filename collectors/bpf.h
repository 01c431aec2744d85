/* SPDX-License-Identifier: Apache-2.0 */
/* bpf.h: the loaded eBPF object of one session, and why any part of it is missing. */
#ifndef PERFTOP_BPF_H
#define PERFTOP_BPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct perftop_bpf; /* the skeleton, from bpftool */
struct bpf;

/* Decided before load: sizes of maps and read-only data. */
struct bpf_request {
	pid_t pid;
	uint32_t nslots; /* function and USDT rows; 0 leaves their programs out */
	uint32_t
		func_copies; /* compact histograms, so many of each slot; 0: full ones, one a CPU */
	bool sessions;	     /* kernel has uprobe sessions (bpf_has_uprobe_session) */
	bool sample, offcpu, syscalls, block, faults;
	bool many;   /* more processes than pid: those of bpf_target_add */
	bool follow; /* and what they fork */
	bool tails;  /* evidence of slow calls; needs offcpu and nslots */
};

/*
 * Load the programs that the request names. A program that this kernel refuses is left out and
 * the others load; bpf_reason says why. NULL when nothing can load at all: why says what is
 * missing and fix the command that grants it.
 */
struct bpf *bpf_new(const struct bpf_request *req, char *why, size_t why_size, char *fix,
		    size_t fix_size);
void bpf_free(struct bpf *b);

struct perftop_bpf *bpf_skeleton(struct bpf *b);
uint32_t bpf_ncpu(const struct bpf *b); /* CPU numbers: slots a histogram has in the arrays */
/* Are waits timed by wake-ups? If not, on_sched_waking only adds who woke a thread. */
bool bpf_needs_wakes(const struct bpf *b);
uint64_t bpf_unfollowed(const struct bpf *b); /* children that found no place */
/* In a pid namespace with several processes: pids differ from the kernel's, see bpf_whois(). */
bool bpf_translates(const struct bpf *b);
/* Processes of our namespace, by the kernel's number and by ours; how many, or -errno. */
struct contract_whois;
int bpf_whois(struct bpf *b, struct contract_whois *rows, uint32_t max);
uint64_t bpf_follow_news(const struct bpf *b); /* forks and execs of what is followed */
struct contract_ended;
/* What processes beside the first had used when they ended; grows, this program's lifetime. */
const struct contract_ended *bpf_ended(const struct bpf *b);
uint64_t bpf_execs(const struct bpf *b); /* by the target, since on_exec was attached */

/*
 * The processes watched beside pid. bpf_target_next: the one after *after (NULL: the first), in no
 * order; -ENOENT at the end. Those that eBPF saw being forked are among them; those that end leave
 * by themselves.
 */
enum { BPF_TARGETS_MAX = 4096 };
int bpf_target_add(struct bpf *b, uint32_t pid, uint32_t parent);
int bpf_target_remove(struct bpf *b, uint32_t pid);
int bpf_target_next(struct bpf *b, const uint32_t *after, uint32_t *pid);

/* fd of a loaded program by name, or -errno; why is left as a sentence. */
int bpf_program_fd(struct bpf *b, const char *name, char *why, size_t why_size);

/* Attach a tp_btf program; the link is closed by bpf_free. 0 or -errno. */
int bpf_attach_tp(struct bpf *b, const char *program, char *why, size_t why_size);

/* Take it off again before bpf_free. */
void bpf_detach_tp(struct bpf *b, const char *program);

/* Attach an iterator over the target's tasks; returns the link's fd for bpf_iter_create, or -errno.
 */
int bpf_attach_iter(struct bpf *b, const char *program, char *why, size_t why_size);

/* r0 = 0; exit: as initialiser of an array of struct bpf_insn. */
#define BPF_EMPTY_CODE                                                               \
	{                                                                            \
		{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}, \
	}
/* Such a program for user probes, loaded for a link of that type; its descriptor or -errno. */
int bpf_load_empty(uint32_t type);

/* Kernel support, found by trying once. */
bool bpf_has_task_storage(void);
bool bpf_has_map_alloc(void); /* hash maps make room as keys come, in any program */
bool bpf_has_uprobe_multi(void);
bool bpf_has_uprobe_session(void);

/* A plain mmapable array map, mapped read-only (read-write when writable); NULL on failure. */
void *bpf_map_array(struct bpf *b, int map_fd, size_t value_size, size_t entries, bool writable);

#endif
