/* SPDX-License-Identifier: Apache-2.0 */
/* engine_memory.c: what the engine takes of memory. */
#include "kernels/benchmark/engine_memory.h"

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

#include "kernels/dream/dream_graph.h"
#include "kernels/ewc/ewc_tasks.h"
#include "kernels/lora/lora_base.h"
#include "kernels/trajectory/trajectory_ring.h"

#define SONA "SONA performance benchmarks, memory usage"
#define MB   1e6

extern char **environ; /* of libc */

double engine_parts_bytes(void)
{
	const struct lora_base base = {256, 256, 8, 12, 1, (float[1]){0}};

	return (4.0 * 256 + (double)lora_base_floats(&base)) * sizeof(float) +
	       10000.0 * sizeof(struct trajectory_slot) + (double)ewc_bytes(100000, 5) +
	       (double)dream_graph_bytes(256, 50000);
}

static int component(struct benchmark *b, const char *name, const char *target, double limit_mb,
		     double bytes, const char *why)
{
	return benchmark_target(b, &(struct benchmark_target){.name = name,
							      .seed = SONA,
							      .target = target,
							      .limit = limit_mb,
							      .measured = bytes / MB,
							      .unit = "MB",
							      .reason = why});
}

static int components(struct benchmark *b)
{
	const struct lora_base base = {256, 256, 8, 12, 1, (float[1]){0}};
	int err = component(b, "micro-LoRA, rank 1, d=256", "0.004 MB", 0.0041,
			    4 * 256 * sizeof(float), "weights and gradient");

	err = err ? err
		  : component(b, "base LoRA, rank 8, d=256, 12 layers", "0.6 MB", 0.6,
			      (double)lora_base_floats(&base) * sizeof(float), NULL);
	err = err ? err
		  : component(b, "trajectory buffer, 10,000 places", "82 MB", 82,
			      10000.0 * sizeof(struct trajectory_slot),
			      "int8 and the heaviest attention weights; as the document counts "
			      "floats it would be 933 MB, not 82");
	err = err ? err
		  : component(b, "EWC++, 100,000 weights, 5 tasks", "2.0 MB", 2,
			      (double)ewc_bytes(100000, 5),
			      "moments, the sum and each task's Fisher information and weights; "
			      "the document counts the Fisher information alone");
	return err ? err
		   : component(b, "dream engine, 50,000 memories, d=256", "12.8 MB", 12.8,
			       (double)dream_graph_bytes(256, 50000),
			       "the document's is the codes alone; here with links, 8 a memory, "
			       "and their weights");
}

/* VmHWM of a process, in bytes; NAN when it cannot be read. */
static double peak_rss(pid_t pid)
{
	char path[64], text[4096], *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, "VmHWM:");
	return at ? (double)strtoull(at + 6, NULL, 10) * 1024 : NAN;
}

/* The engine as it is by default but for shorter loops, so that all of them have run. */
static double engine_rss(unsigned int seconds, int *err)
{
	char *argv[] = {(char *)"perftop",	     (char *)"engine",
			(char *)"--loop-b",	     (char *)"1s",
			(char *)"--loop-c",	     (char *)"2s",
			(char *)"--die-with-parent", NULL};
	posix_spawn_file_actions_t files;
	double rss = NAN;
	pid_t pid;

	*err = -posix_spawn_file_actions_init(&files);
	if (*err)
		return NAN;
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	*err = -posix_spawn(&pid, "/proc/self/exe", &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	if (*err)
		return NAN;
	nanosleep(&(struct timespec){(time_t)seconds, 0}, NULL);
	rss = peak_rss(pid);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return rss;
}

static int rss_target(struct benchmark *b, const char *name, const char *target, double limit,
		      double rss, const char *why)
{
	return benchmark_target(b, &(struct benchmark_target){.name = name,
							      .seed = "SONA performance "
								      "benchmarks, summary",
							      .target = target,
							      .limit = limit,
							      .measured = rss / MB,
							      .unit = "MB",
							      .reason = why});
}

int engine_memory(struct benchmark *b)
{
	int err = components(b);
	double rss;

	if (err || benchmark_quick(b))
		return err;
	rss = engine_rss(4, &err);
	if (err || isnan(rss)) /* the program that runs is not perftop, or /proc is closed */
		return err;
	err = rss_target(b, "engine, resident, default", "< 100 MB", 100, rss,
			 "peak, after loops B and C have run; 1,024 trajectories buffered");
	return err ? err
		   : rss_target(b, "engine, resident, stretch", "< 50 MB", 50, rss,
				"the same; a buffer of 10,000 adds 52 MB when it is full");
}
