/* SPDX-License-Identifier: Apache-2.0 */
/* memory_engine.c: resident memory of `perftop engine` as a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernels/benchmark/memory_parts.h"

extern char **environ; /* of libc */

/* Most that was resident of a process so far, in MiB; 0 when it cannot be read. */
static double peak_of(pid_t pid)
{
	char path[64], line[128];
	unsigned long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "VmHWM:", 6))
			kib = strtoul(line + 6, NULL, 10);
	if (f)
		fclose(f);
	return (double)kib / 1024;
}

/* Runs it for that long, and then asks it to end. MiB, or NAN. */
static double run_engine(uint32_t ms)
{
	char *argv[] = {(char *)"perftop", (char *)"engine", (char *)"--die-with-parent", NULL};
	const struct timespec pause = {ms / 1000, ms % 1000 * 1000000l};
	posix_spawn_file_actions_t files;
	double mib = NAN;
	pid_t pid;

	if (posix_spawn_file_actions_init(&files))
		return NAN;
	if (!posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) &&
	    !posix_spawn(&pid, "/proc/self/exe", &files, NULL, argv, environ)) {
		nanosleep(&pause, NULL);
		mib = peak_of(pid);
		kill(pid, SIGTERM);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	posix_spawn_file_actions_destroy(&files);
	return mib > 0 ? mib : NAN;
}

int memory_of_engine(struct benchmark *b)
{
	static const struct {
		const char *name, *seed, *target;
		double mb;
	} rows[] = {
		{"memory usage of the engine", "V3 benchmark results, 5.1", "< 256 MB", 256},
	};
	const uint32_t ms = benchmark_quick(b) ? 300 : 3000;
	const double mb = run_engine(ms) * 1.048576;
	char reason[160];
	int err = 0;

	snprintf(reason, sizeof(reason), "`perftop engine` as it starts, after %u ms", ms);
	for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !err; i++)
		err = benchmark_target(
			b, &(struct benchmark_target){
				   .name = rows[i].name,
				   .seed = rows[i].seed,
				   .target = rows[i].target,
				   .limit = rows[i].mb,
				   .measured = mb,
				   .unit = "MB",
				   .reason = isnan(mb) ? "the engine could not be started" : reason,
			   });
	return err;
}
