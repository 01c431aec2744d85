/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf_prepare.c: for CO-RE libbpf gets a file of the few types that the object uses; numbers of
 * tracepoints, iterators and kernel functions are put in as each program is loaded.
 */
#include "collectors/bpf_prepare.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collectors/bpf_beside.h"
#include "collectors/kernel_btf.h"
#include "probes/contract.h"

enum { MAX_HOOKS = 64, HOOK_NAME = 64 };

struct bpf_prepare {
	struct kernel_btf kernel;
	char path[32];
	int fd; /* of that file */
	bool done;
	char hooks[MAX_HOOKS][HOOK_NAME]; /* names of types that stand for hooks */
	uint32_t nhooks;
};

static const char tp_prefix[] = "tp_btf/", iter_prefix[] = "iter/";

/* The global loading: libbpf tells the callback below which program it loads, but not for whom. */
static __thread const struct bpf_prepare *loading;
static __thread struct bpf_beside *beside; /* NULL: all by libbpf */

static const char *const kfuncs[] = {
#define X(name) #name,
	CONTRACT_KFUNCS(X)
#undef X
};
static const char *const ktypes[] = {
#define X(name) #name,
	CONTRACT_KTYPES(X)
#undef X
};
enum { NKFUNCS = sizeof(kfuncs) / sizeof(kfuncs[0]), NKTYPES = sizeof(ktypes) / sizeof(ktypes[0]) };

/* ---- what to look for ---------------------------------------------------------------------- */

/* The kernel's type for where a section's programs are attached. False: none is needed. */
static bool hook_of(const char *section, char name[HOOK_NAME], uint32_t *kind)
{
	if (!strncmp(section, tp_prefix, sizeof(tp_prefix) - 1)) {
		*kind = BTF_KIND_TYPEDEF;
		snprintf(name, HOOK_NAME, "btf_trace_%s", section + sizeof(tp_prefix) - 1);
		return true;
	}
	if (!strncmp(section, iter_prefix, sizeof(iter_prefix) - 1)) {
		*kind = BTF_KIND_FUNC;
		snprintf(name, HOOK_NAME, "bpf_iter_%s", section + sizeof(iter_prefix) - 1);
		return true;
	}
	return false;
}

static int want_hooks(struct bpf_prepare *p, const struct bpf_object *obj)
{
	struct bpf_program *prog;
	uint32_t kind;
	int err = 0;

	bpf_object__for_each_program (prog, obj) {
		char *name = p->hooks[p->nhooks];

		if (!hook_of(bpf_program__section_name(prog), name, &kind))
			continue;
		err = kernel_btf_want(&p->kernel, name, kind, false);
		if (err || ++p->nhooks == MAX_HOOKS)
			return err ? err : -ENOSPC;
	}
	return err;
}

/* Every type that the object gives a name may be one of the kernel's. */
static int want_types(struct bpf_prepare *p, const struct btf *btf)
{
	int err = 0;

	for (uint32_t i = 1; !err && i < btf__type_cnt(btf); i++) {
		const struct btf_type *t = btf__type_by_id(btf, i);
		const char *name = btf__name_by_offset(btf, t->name_off);

		if (name && name[0] && (btf_is_composite(t) || btf_is_enum(t)))
			err = kernel_btf_want(&p->kernel, name, btf_kind(t), true);
	}
	return err;
}

static int write_types(const struct bpf_prepare *p)
{
	const char *at = p->kernel.types;
	size_t left = p->kernel.size;

	while (left) {
		ssize_t n = write(p->fd, at, left);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
		left -= (size_t)n;
	}
	return 0;
}

int bpf_prepare_object(struct bpf_prepare *p, const struct bpf_object *obj)
{
	int err = 0;

	if (p->done)
		return 0;
	for (uint32_t i = 0; !err && i < NKFUNCS; i++)
		err = kernel_btf_want(&p->kernel, kfuncs[i], BTF_KIND_FUNC, false);
	for (uint32_t i = 0; !err && i < NKTYPES; i++)
		err = kernel_btf_want(&p->kernel, ktypes[i], BTF_KIND_STRUCT, true);
	err = err ? err : want_hooks(p, obj);
	err = err ? err : want_types(p, bpf_object__btf(obj));
	err = err ? err : kernel_btf_search_running(&p->kernel);
	err = err ? err : write_types(p);
	p->done = !err;
	return err;
}

bool bpf_prepare_has_kfunc(const struct bpf_prepare *p, const char *name)
{
	return kernel_btf_id(&p->kernel, name, BTF_KIND_FUNC);
}

bool bpf_prepare_has_tracepoint(const struct bpf_prepare *p, const char *name)
{
	char type[HOOK_NAME];

	snprintf(type, sizeof(type), "btf_trace_%s", name);
	return kernel_btf_id(&p->kernel, type, BTF_KIND_TYPEDEF);
}

/* ---- as a program is loaded ------------------------------------------------------------------ */

/* r2 = a type's number; the call takes it. */
static void put_type(struct bpf_insn *insn)
{
	uint32_t i = (uint32_t)insn->imm - CONTRACT_KTYPE_BASE - 1;

	if (insn->code == (BPF_ALU64 | BPF_MOV | BPF_K) && i < NKTYPES)
		insn->imm = (int32_t)kernel_btf_id(&loading->kernel, ktypes[i], BTF_KIND_STRUCT);
}

/* Where there is no such function, the call gives back its first argument. */
static void put_function(struct bpf_insn *insn)
{
	uint32_t i = (uint32_t)insn->imm - CONTRACT_KFUNC_BASE - 1, id;

	if (insn->code != (BPF_JMP | BPF_CALL) || insn->src_reg != BPF_PSEUDO_KFUNC_CALL ||
	    i >= NKFUNCS)
		return;
	id = kernel_btf_id(&loading->kernel, kfuncs[i], BTF_KIND_FUNC);
	if (id)
		insn->imm = (int32_t)id;
	else
		*insn = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_X,
					  .dst_reg = BPF_REG_0,
					  .src_reg = BPF_REG_1};
}

static int put_numbers(struct bpf_program *prog)
{
	size_t n = bpf_program__insn_cnt(prog);
	struct bpf_insn *code = malloc(n * sizeof(*code));
	int err;

	if (!code)
		return -ENOMEM;
	memcpy(code, bpf_program__insns(prog), n * sizeof(*code));
	for (size_t i = 0; i < n; i++) {
		put_type(&code[i]);
		put_function(&code[i]);
	}
	err = bpf_program__set_insns(prog, code, n);
	free(code);
	return err;
}

/* The cookie is the section's: flags of its programs. */
static int prepare(struct bpf_program *prog, struct bpf_prog_load_opts *opts, long cookie)
{
	char name[HOOK_NAME];
	uint32_t kind, id;
	int err;

	if (!loading)
		return -EINVAL;
	opts->prog_flags |= (uint32_t)cookie;
	if (hook_of(bpf_program__section_name(prog), name, &kind)) {
		id = kernel_btf_id(&loading->kernel, name, kind);
		if (!id)
			return -ESRCH;
		opts->attach_btf_id = id;
		/* Only now: libbpf reads all types for an object with programs of this type. */
		bpf_program__set_type(prog, BPF_PROG_TYPE_TRACING);
	}
	err = put_numbers(prog);
	return err || !beside ? err : bpf_beside_take(beside, prog, opts);
}

/* Once: libbpf's list of handlers is the process's. Hence the global once. */
static void register_handlers(void)
{
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .prog_prepare_load_fn = prepare);

	libbpf_register_prog_handler("tp_btf+", BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_TRACE_RAW_TP,
				     &opts);
	libbpf_register_prog_handler("iter+", BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_TRACE_ITER, &opts);
	libbpf_register_prog_handler("perf_event", BPF_PROG_TYPE_PERF_EVENT, 0, &opts);
	opts.cookie = BPF_F_SLEEPABLE;
	libbpf_register_prog_handler("uprobe.s", BPF_PROG_TYPE_KPROBE, 0, &opts);
}

struct bpf_prepare *bpf_prepare_new(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct bpf_prepare *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	pthread_once(&once, register_handlers);
	p->fd = memfd_create("perftop-types", MFD_CLOEXEC);
	if (p->fd < 0) {
		free(p);
		return NULL;
	}
	snprintf(p->path, sizeof(p->path), "/proc/self/fd/%d", p->fd);
	return p;
}

const char *bpf_prepare_path(const struct bpf_prepare *p)
{
	return p->path;
}

void bpf_prepare_begin(const struct bpf_prepare *p, struct bpf_beside *large)
{
	loading = p;
	beside = large;
}

void bpf_prepare_end(void)
{
	loading = NULL;
	beside = NULL;
}

void bpf_prepare_free(struct bpf_prepare *p)
{
	if (!p)
		return;
	kernel_btf_fini(&p->kernel);
	close(p->fd);
	free(p);
}
