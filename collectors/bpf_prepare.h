/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_prepare.h: what libbpf would look up in all of the kernel's types, looked up once. */
#ifndef PERFTOP_BPF_PREPARE_H
#define PERFTOP_BPF_PREPARE_H

#include <stdbool.h>
#include <stdint.h>

struct bpf_beside;
struct bpf_object;
struct bpf_prepare;

/*
 * One for all loads of an object. Before it is opened: path goes into btf_custom_path. After:
 * bpf_prepare_object looks the object's names up, the first time; then bpf_prepare_begin and
 * bpf_prepare_end stand around the load, on one thread. Large programs go to `large`, which may be
 * NULL: see bpf_beside.h.
 */
struct bpf_prepare *bpf_prepare_new(void);
const char *bpf_prepare_path(const struct bpf_prepare *p);
int bpf_prepare_object(struct bpf_prepare *p, const struct bpf_object *obj);
void bpf_prepare_begin(const struct bpf_prepare *p, struct bpf_beside *large);
void bpf_prepare_end(void);
void bpf_prepare_free(struct bpf_prepare *p);

/* Of the running kernel, after bpf_prepare_object: a function; a tracepoint of tp_btf. */
bool bpf_prepare_has_kfunc(const struct bpf_prepare *p, const char *name);
bool bpf_prepare_has_tracepoint(const struct bpf_prepare *p, const char *name);

#endif
