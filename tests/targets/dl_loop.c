/* SPDX-License-Identifier: Apache-2.0 */
/* dl_loop.c: loads a library, calls into it, and unloads it, as told. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/*
 * Commands come on stdin, one a line; each is answered on stdout with one line.
 *
 *   load PATH       dlopen
 *   call NAME N     N calls of its function NAME, an int of an int
 *   unload          dlclose
 *   loop PATH NAME N  N times: load, call once, unload
 *
 * It ends with its stdin.
 */

typedef int (*function)(int);

static int call(void *library, const char *name, unsigned n)
{
	function fn = library ? (function)dlsym(library, name) : NULL;
	int sum = 0;

	if (!fn)
		return -1;
	for (unsigned i = 0; i < n; i++)
		sum += fn((int)i);
	return sum & 1;
}

static unsigned loop(const char *path, const char *name, unsigned n)
{
	unsigned done = 0;

	for (unsigned i = 0; i < n; i++) {
		void *library = dlopen(path, RTLD_NOW);

		done += call(library, name, 1) >= 0;
		if (library)
			dlclose(library);
	}
	return done;
}

int main(void)
{
	char line[1024], path[900], name[64];
	void *library = NULL;
	unsigned n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "load %899s", path) == 1) {
			library = dlopen(path, RTLD_NOW);
			printf("loaded ok=%d\n", library != NULL);
		} else if (sscanf(line, "call %63s %u", name, &n) == 2) {
			printf("called ok=%d count=%u\n", call(library, name, n) >= 0, n);
		} else if (!strncmp(line, "unload", 6)) {
			printf("unloaded ok=%d\n", library && !dlclose(library));
			library = NULL;
		} else if (sscanf(line, "loop %899s %63s %u", path, name, &n) == 3) {
			printf("looped count=%u\n", loop(path, name, n));
		} else {
			puts("error");
		}
	}
	return 0;
}
