/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_btf.h: the kernel's type information: numbers of names, and the few types that CO-RE
 * needs. */
#ifndef PERFTOP_KERNEL_BTF_H
#define PERFTOP_KERNEL_BTF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The kernel describes some 130,000 types in 5 MB. libbpf reads all of them, and goes through all
 * of them once for each type and each tracepoint of an object: 30 ms of perftop's start. Here they
 * are gone through once.
 */
enum { KERNEL_BTF_NAMES = 256 };

/* A name to look for. */
struct kernel_btf_name {
	const char *name; /* borrowed */
	uint32_t kind;	  /* of linux/btf.h */
	bool whole;	  /* the type itself is needed, with what lies in it */
	uint32_t id;	  /* found: the first of that name; 0: there is none */
};

struct kernel_btf {
	struct kernel_btf_name names[KERNEL_BTF_NAMES];
	uint32_t n;
	void *types; /* BTF of the types that are needed, with numbers of its own; what
			pointers lead to is left out */
	size_t size;
};

/* Names must be added before the search. -ENOSPC when there are too many. */
int kernel_btf_want(struct kernel_btf *k, const char *name, uint32_t kind, bool whole);

/*
 * Look for all of them in BTF of `size` bytes. 0; -EINVAL for what is no BTF, or of a kind that is
 * not known here; -ENOMEM.
 */
int kernel_btf_search(struct kernel_btf *k, const void *btf, size_t size);

/* The same in the running kernel's. */
int kernel_btf_search_running(struct kernel_btf *k);

/* What was found; 0 when that name was not, or was not asked for. */
uint32_t kernel_btf_id(const struct kernel_btf *k, const char *name, uint32_t kind);

void kernel_btf_fini(struct kernel_btf *k);

#endif
