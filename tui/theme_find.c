/* SPDX-License-Identifier: Apache-2.0 */
/* theme_find.c: where themes lie. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tui/theme.h"

enum { NFOLDERS = 6, THEME_MAX_BYTES = 32768, MAX_LISTED = 256 };

/* Folder i in order of precedence; false when there is no such folder here. */
static bool folder(int i, char *out, size_t size)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char exe[PATH_MAX], *slash;
	ssize_t n;

	switch (i) {
	case 0:
		if (config && config[0] == '/')
			snprintf(out, size, "%s/perftop/themes", config);
		else if (home && home[0] == '/')
			snprintf(out, size, "%s/.config/perftop/themes", home);
		else
			return false;
		return true;
	case 1:
	case 2:
		/* Installed as bin/perftop, or built as .build/FLAVOUR/perftop. */
		n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
		if (n <= 0)
			return false;
		exe[n] = '\0';
		slash = strrchr(exe, '/');
		if (!slash)
			return false;
		*slash = '\0';
		return (size_t)snprintf(out, size, "%s/%s", exe,
					i == 1 ? "../share/perftop/themes" : "../../themes") < size;
	case 3:
		snprintf(out, size, "themes");
		return true;
	case 4:
		snprintf(out, size, "/usr/local/share/perftop/themes");
		return true;
	default:
		snprintf(out, size, "/usr/share/perftop/themes");
		return true;
	}
}

static int load_file(struct theme *t, const char *path, char *why, size_t why_size)
{
	char text[THEME_MAX_BYTES], what[160];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		snprintf(why, why_size, "theme %s is not a file", path);
		return -EINVAL;
	}
	n = read(fd, text, sizeof(text));
	err = n < 0 ? -errno : n == sizeof(text) ? -EFBIG : 0;
	close(fd);
	if (!err) {
		err = theme_parse(t, text, (size_t)n, what, sizeof(what));
		if (err)
			snprintf(why, why_size, "theme %s, %s", path, what);
	} else {
		snprintf(why, why_size, "theme %s: %s", path, strerror(-err));
	}
	return err;
}

static void add_name(const char *name, void *arg)
{
	char *list = arg;
	size_t n = strlen(list);

	snprintf(list + n, 256 - n, "%s%s", n ? ", " : "", name);
}

int theme_load(struct theme *t, const char *name, char *why, size_t why_size)
{
	char dir[PATH_MAX], path[PATH_MAX + NAME_MAX], list[256] = "";
	int err;

	theme_init(t);
	if (strchr(name, '/')) {
		err = load_file(t, name, why, why_size);
		if (err == -ENOENT)
			snprintf(why, why_size, "theme %s does not exist", name);
		if (err)
			theme_init(t);
		return err;
	}
	for (int i = 0; i < NFOLDERS; i++) {
		if (!folder(i, dir, sizeof(dir)))
			continue;
		snprintf(path, sizeof(path), "%s/%.200s.theme", dir, name);
		err = load_file(t, path, why, why_size);
		if (err == -ENOENT || err == -ENOTDIR || err == -EACCES)
			continue;
		if (err)
			theme_init(t);
		return err;
	}
	if (!strcmp(name, "dark")) /* the same as the looks of styles.def */
		return 0;
	theme_list(add_name, list);
	snprintf(why, why_size, "there is no theme '%.60s'; themes found: %s", name,
		 list[0] ? list : "none");
	return -ENOENT;
}

void theme_list(void (*fn)(const char *name, void *arg), void *arg)
{
	static const char ext[] = ".theme";
	char dir[PATH_MAX], seen[MAX_LISTED][64];
	int nseen = 0;

	for (int i = 0; i < NFOLDERS; i++) {
		DIR *d = folder(i, dir, sizeof(dir)) ? opendir(dir) : NULL;
		struct dirent *e;

		while (d && (e = readdir(d)) && nseen < MAX_LISTED) {
			size_t n = strlen(e->d_name);
			int k = 0;

			if (n <= sizeof(ext) - 1 || n - (sizeof(ext) - 1) >= sizeof(seen[0]) ||
			    strcmp(e->d_name + n - (sizeof(ext) - 1), ext))
				continue;
			n -= sizeof(ext) - 1;
			memcpy(seen[nseen], e->d_name, n);
			seen[nseen][n] = '\0';
			while (strcmp(seen[k], seen[nseen]))
				k++;
			if (k == nseen)
				fn(seen[nseen++], arg);
		}
		if (d)
			closedir(d);
	}
}
