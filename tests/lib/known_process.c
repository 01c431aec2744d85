/* SPDX-License-Identifier: Apache-2.0 */
/* known_process.c: start tests/targets/known, and talk to it. */
#include "tests/lib/known_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int answer(struct known_process *k)
{
	return fgets(k->line, sizeof(k->line), k->out) ? 0 : -EPIPE;
}

static int target_path(const char *program, char *buf, size_t size)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n <= 0)
		return -ENOENT;
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	return (size_t)snprintf(buf, size, "%s/../targets/%s", exe, program) < size ? 0
										    : -ENAMETOOLONG;
}

int known_start(struct known_process *k)
{
	return known_start_program(k, "known");
}

int known_start_program(struct known_process *k, const char *program)
{
	char path[PATH_MAX];
	int to[2], from[2], err = target_path(program, path, sizeof(path));

	memset(k, 0, sizeof(*k));
	if (err)
		return err;
	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		return -errno;
	k->pid = fork();
	if (k->pid < 0)
		return -errno;
	if (!k->pid) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		execl(path, program, NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	k->in = fdopen(to[1], "w");
	k->out = fdopen(from[0], "r");
	return k->in && k->out ? answer(k) : -ENOMEM;
}

int known_tell(struct known_process *k, const char *command)
{
	fprintf(k->in, "%s\n", command);
	fflush(k->in);
	return answer(k);
}

double known_told(const struct known_process *k, const char *key)
{
	size_t n = strlen(key);

	for (const char *at = strstr(k->line, key); at; at = strstr(at + 1, key))
		if (at > k->line && at[-1] == ' ' && at[n] == '=')
			return strtod(at + n + 1, NULL);
	return 0;
}

int known_end(struct known_process *k)
{
	int status;

	fclose(k->in);
	fclose(k->out);
	return waitpid(k->pid, &status, 0) == k->pid && WIFEXITED(status) && !WEXITSTATUS(status)
		       ? 0
		       : -EIO;
}
