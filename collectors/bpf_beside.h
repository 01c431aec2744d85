/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_beside.h: large programs are loaded by threads of their own while libbpf loads the rest. */
#ifndef PERFTOP_BPF_BESIDE_H
#define PERFTOP_BPF_BESIDE_H

#include <stdint.h>

struct bpf_program;
struct bpf_prog_load_opts;

enum { BPF_BESIDE_MAX = 4 };

/*
 * The kernel checks programs of the privileged in parallel, libbpf hands it one after the other. So
 * where a program is large its place in libbpf is taken by an empty one, until all are loaded.
 */
struct bpf_beside {
	struct bpf_beside_load *loads[BPF_BESIDE_MAX];
	uint32_t n;
};

/*
 * As libbpf is about to load prog, which is otherwise complete: begin to load it here, where it is
 * large. 0, or -errno.
 */
int bpf_beside_take(struct bpf_beside *b, struct bpf_program *prog,
		    struct bpf_prog_load_opts *opts);

/* Wait, and put the programs where libbpf has the empty ones. err is libbpf's: 0 unless it failed,
 * which is then given back; else 0 or -errno of the first that the kernel refused. */
int bpf_beside_end(struct bpf_beside *b, int err);

#endif
