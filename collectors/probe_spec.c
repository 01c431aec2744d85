/* SPDX-License-Identifier: Apache-2.0 */
/* probe_spec.c: parse and match what -e names. */
#include "collectors/probe_spec.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

/* Past this a name is a list of template arguments, and nobody mistyped it by a letter. */
enum { DISTANCE_MAX_NAME = 96 };

/* First colon that is not one of a pair, or NULL. */
static const char *single_colon(const char *s)
{
	for (; *s; s++) {
		if (*s != ':')
			continue;
		if (s[1] != ':')
			return s;
		s++;
	}
	return NULL;
}

static int pattern_parse(struct name_pattern *p, const char *text, size_t n, char *why,
			 size_t why_size)
{
	char message[128];
	int err;

	if (!n || n >= sizeof(p->text)) {
		snprintf(why, why_size, n ? "a name is longer than %zu bytes" : "a name is missing",
			 sizeof(p->text) - 1);
		return -EINVAL;
	}
	if (n > 2 && text[0] == '/' && text[n - 1] == '/') {
		memcpy(p->text, text + 1, n - 2);
		p->text[n - 2] = '\0';
		err = regcomp(&p->re, p->text, REG_EXTENDED | REG_NOSUB);
		if (err) {
			regerror(err, &p->re, message, sizeof(message));
			snprintf(why, why_size, "bad regular expression /%.100s/: %s", p->text,
				 message);
			return -EINVAL;
		}
		p->kind = PATTERN_REGEX;
		return 0;
	}
	memcpy(p->text, text, n);
	p->text[n] = '\0';
	/* A demangled name may hold brackets and, as pointer parameters, stars. */
	p->kind = strpbrk(p->text, "*?") && !strchr(p->text, '(') ? PATTERN_GLOB : PATTERN_EXACT;
	if (strstr(p->text, "operator") && strpbrk(p->text, "[]") && p->kind == PATTERN_EXACT)
		return 0;
	if (p->kind == PATTERN_EXACT && strchr(p->text, '[') && strchr(p->text, ']'))
		p->kind = PATTERN_GLOB;
	return 0;
}

static int set_module(struct probe_spec *out, const char *text, size_t n, char *why,
		      size_t why_size)
{
	if (n >= sizeof(out->module)) {
		snprintf(why, why_size, "a file name is longer than %zu bytes",
			 sizeof(out->module) - 1);
		return -EINVAL;
	}
	memcpy(out->module, text, n);
	out->module[n] = '\0';
	return 0;
}

static int parse_usdt(const char *text, struct probe_spec *out, char *why, size_t why_size)
{
	const char *a = strchr(text, ':'), *b = a ? strchr(a + 1, ':') : NULL;
	size_t module;
	int err;

	if (!a || !b) {
		snprintf(why, why_size,
			 "'usdt:%.200s' is not usdt:FILE:PROVIDER:NAME (FILE may be empty)", text);
		return -EINVAL;
	}
	module = (size_t)(a - text);
	out->kind = SPEC_USDT;
	/* "*" for the file says any. */
	err = set_module(out, text, module == 1 && *text == '*' ? 0 : module, why, why_size);
	if (!err)
		err = pattern_parse(&out->provider, a + 1, (size_t)(b - a - 1), why, why_size);
	if (!err)
		err = pattern_parse(&out->name, b + 1, strlen(b + 1), why, why_size);
	return err;
}

static int parse_function(const char *text, struct probe_spec *out, char *why, size_t why_size)
{
	size_t n = strlen(text);
	const char *colon = NULL, *re = strstr(text, ":/");
	bool is_regex = n > 2 && text[n - 1] == '/';
	int err = 0;

	if (is_regex && text[0] == '/' && !re)
		colon = NULL; /* a bare /regex/ */
	else if (is_regex && re)
		colon = re;
	else
		colon = single_colon(text);
	out->any = colon && colon - text == 1 && *text == '*';
	if (colon && !out->any)
		err = set_module(out, text, (size_t)(colon - text), why, why_size);
	if (err)
		return err;
	text = colon ? colon + 1 : text;
	return pattern_parse(&out->name, text, strlen(text), why, why_size);
}

int probe_spec_parse(const char *text, struct probe_spec *out, char *why, size_t why_size)
{
	int err;

	memset(out, 0, sizeof(*out));
	if (strlen(text) >= sizeof(out->text)) {
		snprintf(why, why_size, "a probe is longer than %zu bytes", sizeof(out->text) - 1);
		return -EINVAL;
	}
	strcpy(out->text, text);
	if (!strncmp(text, "usdt:", 5))
		err = parse_usdt(text + 5, out, why, why_size);
	else
		err = parse_function(text, out, why, why_size);
	if (err)
		probe_spec_fini(out);
	return err;
}

void probe_spec_fini(struct probe_spec *s)
{
	struct name_pattern *both[] = {&s->provider, &s->name};

	for (int i = 0; i < 2; i++) {
		if (both[i]->kind == PATTERN_REGEX)
			regfree(&both[i]->re);
		both[i]->kind = PATTERN_EXACT;
	}
}

bool name_pattern_match(const struct name_pattern *p, const char *name)
{
	switch (p->kind) {
	case PATTERN_REGEX:
		return !regexec(&p->re, name, 0, NULL, 0);
	case PATTERN_GLOB:
		return !fnmatch(p->text, name, 0);
	default:
		return !strcmp(p->text, name);
	}
}

int probe_spec_module_rank(const char *module, const char *path)
{
	const char *file = strrchr(path, '/');
	size_t n = strlen(module);

	file = file ? file + 1 : path;
	if (!n)
		return 1;
	if (!strcmp(module, path))
		return 2;
	if (strchr(module, '/'))
		return 0;
	if (!strcmp(module, file))
		return 2;
	if (strpbrk(module, "*?["))
		return !fnmatch(module, file, 0);
	/* libc for libc.so.6 and libc-2.36.so, python3 for python3.11: never libc for libcrypto. */
	return !strncmp(module, file, n) && (file[n] == '.' || file[n] == '-');
}

bool probe_spec_is_library(const char *module)
{
	const char *file = strrchr(module, '/');

	file = file ? file + 1 : module;
	return !strncmp(file, "lib", 3) || strstr(file, ".so");
}

uint32_t name_distance(const char *a, const char *b, uint32_t limit)
{
	size_t na = strlen(a), nb = strlen(b);
	uint32_t row[DISTANCE_MAX_NAME + 1];

	if (na > DISTANCE_MAX_NAME || nb > DISTANCE_MAX_NAME ||
	    (na > nb ? na - nb : nb - na) > limit)
		return limit + 1;
	for (size_t j = 0; j <= nb; j++)
		row[j] = (uint32_t)j;
	for (size_t i = 1; i <= na; i++) {
		uint32_t diagonal = row[0], best;

		row[0] = best = (uint32_t)i;
		for (size_t j = 1; j <= nb; j++) {
			uint32_t up = row[j], v = diagonal + (a[i - 1] != b[j - 1]);

			v = up + 1 < v ? up + 1 : v;
			v = row[j - 1] + 1 < v ? row[j - 1] + 1 : v;
			diagonal = up;
			row[j] = v;
			best = v < best ? v : best;
		}
		if (best > limit)
			return limit + 1;
	}
	return row[nb] > limit ? limit + 1 : row[nb];
}
