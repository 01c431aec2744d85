/* SPDX-License-Identifier: Apache-2.0 */
/* sampler_priv.h: what a source of samples implements. */
#ifndef PERFTOP_SAMPLER_PRIV_H
#define PERFTOP_SAMPLER_PRIV_H

#include "collectors/sampler.h"

/* First member of every source. */
struct sampler {
	void (*free)(struct sampler *s);
	void (*drain)(struct sampler *s, sampler_fn *fn, void *arg);
	void (*follow_threads)(struct sampler *s); /* may be NULL */
	void (*go_deep)(struct sampler *s);	   /* may be NULL */
	int (*add)(struct sampler *s, pid_t pid);  /* may be NULL */
	uint64_t (*lost)(const struct sampler *s);
	uint64_t (*taken)(const struct sampler *s);
	int fd;
};

#endif
