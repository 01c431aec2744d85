/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_programs.h: which programs of the object a session loads. */
#ifndef PERFTOP_BPF_PROGRAMS_H
#define PERFTOP_BPF_PROGRAMS_H

#include <stdbool.h>

struct bpf_program;
struct bpf_request;

/* From probes.def; programs of func*.bpf.h are the func family's. */
const char *bpf_program_family(const char *name);

bool bpf_program_wanted(const struct bpf_request *req, const char *name);

/* The program that `name` is loaded in place of, where the kernel lacks what it needs; or NULL. */
const char *bpf_program_stands_in_for(const char *name);

/* The tracepoint that it is attached to, NULL when to none. */
const char *bpf_program_tracepoint(const struct bpf_program *p);

/* Several processes are watched whose numbers are not the kernel's. */
bool bpf_request_translates(const struct bpf_request *req);

#endif
