/* SPDX-License-Identifier: Apache-2.0 */
/* probe_spec.h: what -e says, taken apart: MODULE:FUNCTION or usdt:MODULE:PROVIDER:NAME. */
#ifndef PERFTOP_PROBE_SPEC_H
#define PERFTOP_PROBE_SPEC_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A name, a glob (fnmatch) or a POSIX extended regular expression between slashes. */
struct name_pattern {
	enum { PATTERN_EXACT, PATTERN_GLOB, PATTERN_REGEX } kind;
	char text[256]; /* without the slashes */
	regex_t re;	/* PATTERN_REGEX */
};

struct probe_spec {
	enum { SPEC_FUNCTION, SPEC_USDT } kind;
	char text[512];		      /* as given */
	char module[256];	      /* path, file name, prefix of one, glob; "" = any */
	bool any;		      /* "*:", any said outright: of files that come later too */
	struct name_pattern provider; /* SPEC_USDT */
	struct name_pattern name;     /* function or marker */
};

/*
 * Colons that come in pairs belong to a C++ name. Function names may be demangled ones, with or
 * without parameters. Returns 0, or -EINVAL with a sentence in why.
 */
int probe_spec_parse(const char *text, struct probe_spec *out, char *why, size_t why_size);
void probe_spec_fini(struct probe_spec *s);

bool name_pattern_match(const struct name_pattern *p, const char *name);

/* Does the module part look like a library, which a process may load later? */
bool probe_spec_is_library(const char *module);

/*
 * Does the file at `path` answer to the module part of a spec? 0 no, 1 by prefix ("libc" for
 * libc.so.6) or glob, 2 by its exact file name or path.
 */
int probe_spec_module_rank(const char *module, const char *path);

/* Edit distance of two names, never more than `limit` + 1: for "did you mean". */
uint32_t name_distance(const char *a, const char *b, uint32_t limit);

#endif
