/* SPDX-License-Identifier: Apache-2.0 */
/* options_priv.h: what reading the command line and judging it share. */
#ifndef PERFTOP_OPTIONS_PRIV_H
#define PERFTOP_OPTIONS_PRIV_H

#include "tui/options.h"

struct parser {
	struct options *o;
	char *why;
	size_t why_size;
	bool speed; /* --speed was given */
};

/* -EINVAL, with the sentence in p->why. */
__attribute__((format(printf, 2, 3))) int options_bad(struct parser *p, const char *text, ...);

int options_add_probe(struct parser *p, const char *spec);

/* All of them together, once read; adds the probes that --heap=trace stands for. 0 or -EINVAL. */
int options_check(struct parser *p);

#endif
