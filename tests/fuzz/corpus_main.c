/* SPDX-License-Identifier: Apache-2.0 */
/* corpus_main.c: runs a fuzz target over files and folders, so that the corpus is a plain test. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path, long size)
{
	FILE *f = fopen(path, "rbe");
	uint8_t *data;
	size_t n;

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	data = malloc(size ? (size_t)size : 1); /* exact: a sanitizer sees reads past the end */
	if (!data) {
		fclose(f);
		return -1;
	}
	n = fread(data, 1, (size_t)size, f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	return 1;
}

/* How many files were replayed, or -1. */
static int replay(const char *path)
{
	int total = 0, n = 0;
	struct dirent *e;
	struct stat st;
	char sub[4096];
	DIR *dir;

	if (stat(path, &st)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, (long)st.st_size);
	dir = opendir(path);
	if (!dir)
		return -1;
	while (n >= 0 && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
		n = replay(sub);
		total += n > 0 ? n : 0;
	}
	closedir(dir);
	return n < 0 ? -1 : total;
}

int main(int argc, char **argv)
{
	int total = 0;

	for (int i = 1; i < argc; i++) {
		int n = replay(argv[i]);

		if (n < 0)
			return 1;
		total += n;
	}
	printf("replayed %d inputs\n", total);
	return total ? 0 : 1;
}
