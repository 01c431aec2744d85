/* SPDX-License-Identifier: Apache-2.0 */
/* name_words.h: what the name of a function or a file tells. */
#ifndef PERFTOP_NAME_WORDS_H
#define PERFTOP_NAME_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static inline bool name_begins(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

/* "redis-server" of "/usr/bin/redis-server"; what ends in a slash stays as it is. */
static inline const char *name_of_path(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* A function that its file has no name for: "fn@0x1234", see elf_image.h. */
static inline bool name_is_made_up(const char *name)
{
	return name_begins(name, "fn@");
}

/* A system call's name without the prefixes that libc's own names of it have. */
static inline const char *name_of_call(const char *name)
{
	static const char *const prefixes[] = {"__GI___libc_", "__libc_", "__GI___", "__GI_", "__"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (name_begins(name, prefixes[i]))
			return name + strlen(prefixes[i]);
	return name;
}

static inline bool name_is_one_of(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static inline bool name_begins_with_one_of(const char *name, const char *const *prefixes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (name_begins(name, prefixes[i]))
			return true;
	return false;
}

/* The last two with an array. */
#define NAME_IN(name, names) name_is_one_of(name, names, sizeof(names) / sizeof((names)[0]))
#define NAME_BEGINS_IN(name, prefixes) \
	name_begins_with_one_of(name, prefixes, sizeof(prefixes) / sizeof((prefixes)[0]))

#endif
