/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_beside.c: large programs are loaded by threads of their own while libbpf loads the rest. */
#include "collectors/bpf_beside.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/bpf.h"

/* Instructions: two programs have 2,000, which take 5 ms each, all others a few hundred. */
enum { LARGE = 1000 };

struct bpf_beside_load {
	pthread_t thread;
	struct bpf_program *prog;
	struct bpf_prog_load_opts opts;
	int fd; /* or -errno */
	size_t n;
	struct bpf_insn code[];
};

static void *load(void *arg)
{
	struct bpf_beside_load *l = arg;

	l->fd = bpf_prog_load(bpf_program__type(l->prog), bpf_program__name(l->prog), "GPL",
			      l->code, l->n, &l->opts);
	return NULL;
}

/* What libbpf loads instead. It knows nothing of functions and lines. */
static int put_empty(struct bpf_program *prog, struct bpf_prog_load_opts *opts)
{
	struct bpf_insn code[] = BPF_EMPTY_CODE;

	opts->func_info_cnt = opts->line_info_cnt = 0;
	opts->func_info = opts->line_info = NULL;
	return bpf_program__set_insns(prog, code, sizeof(code) / sizeof(code[0]));
}

int bpf_beside_take(struct bpf_beside *b, struct bpf_program *prog, struct bpf_prog_load_opts *opts)
{
	size_t n = bpf_program__insn_cnt(prog);
	struct bpf_beside_load *l;
	int err;

	if (n < LARGE || b->n == BPF_BESIDE_MAX)
		return 0;
	l = malloc(sizeof(*l) + n * sizeof(l->code[0]));
	if (!l)
		return -ENOMEM;
	l->prog = prog;
	l->opts = *opts;
	l->fd = -EAGAIN;
	l->n = n;
	memcpy(l->code, bpf_program__insns(prog), n * sizeof(l->code[0]));
	err = put_empty(prog, opts);
	if (!err)
		err = -pthread_create(&l->thread, NULL, load, l);
	if (err)
		free(l);
	else
		b->loads[b->n++] = l;
	return err;
}

int bpf_beside_end(struct bpf_beside *b, int err)
{
	for (uint32_t i = 0; i < b->n; i++) {
		struct bpf_beside_load *l = b->loads[i];

		pthread_join(l->thread, NULL);
		if (!err && l->fd < 0)
			err = l->fd;
		if (!err && dup3(l->fd, bpf_program__fd(l->prog), O_CLOEXEC) < 0)
			err = -errno;
		if (l->fd >= 0)
			close(l->fd);
		free(l);
	}
	b->n = 0;
	return err;
}
