/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_jit.h: code that was made at run time and has no name: whose it is, and what names it. */
#ifndef PERFTOP_CPU_JIT_H
#define PERFTOP_CPU_JIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "collectors/snapshot.h"

struct symbols;

struct cpu_jit {
	const char *whose;   /* "the Java VM"; static */
	char fix[SNAP_TEXT]; /* the command, "" when none is known */
	const char *frames;  /* what has it keep frame pointers, "" the same */
};

/* Percent of the latest samples whose own code nobody names, in memory that no file backs. */
double cpu_jit_unnamed_pct(const struct snapshot *s);
/* By the runtime that the process maps. */
void cpu_jit_explain(struct symbols *syms, pid_t pid, struct cpu_jit *out);

#endif
