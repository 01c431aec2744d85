/* SPDX-License-Identifier: Apache-2.0 */
/* preload.c: finding the libraries that run in a program, and LD_PRELOAD. */
#include "tui/preload.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int preload_find(const char *library, const char *option, char *path, size_t size, char *why,
		 size_t why_size)
{
	static const char *const places[] = {"", "../lib/"};
	char dir[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	char *slash;

	dir[n > 0 ? n : 0] = '\0';
	slash = strrchr(dir, '/');
	if (slash)
		slash[1] = '\0';
	for (size_t i = 0; slash && i < sizeof(places) / sizeof(places[0]); i++)
		if ((size_t)snprintf(path, size, "%s%s%s", dir, places[i], library) < size &&
		    !access(path, R_OK))
			return 0;
	snprintf(why, why_size,
		 "%s needs %s, which is neither in %.200s nor in its ../lib; 'make' builds it, "
		 "'make install' installs it",
		 option, library, dir);
	path[0] = '\0';
	return -ENOENT;
}

/* What was there before stays behind ours: "ours:theirs". */
int preload_begin(const char *path)
{
	const char *before = getenv("LD_PRELOAD");
	char *both;
	int err = 0;

	if (asprintf(&both, "%s%s%s", path, before ? ":" : "", before ? before : "") < 0)
		return -ENOMEM;
	if (setenv("LD_PRELOAD", both, 1))
		err = -errno;
	free(both);
	return err;
}

void preload_end(void)
{
	const char *both = getenv("LD_PRELOAD");
	const char *colon = both ? strchr(both, ':') : NULL;
	char *before = colon ? strdup(colon + 1) : NULL;

	if (before)
		setenv("LD_PRELOAD", before, 1);
	else
		unsetenv("LD_PRELOAD");
	free(before);
}
