/* SPDX-License-Identifier: Apache-2.0 */
/* bench_probes.c: probing many functions at once: how long going on and coming off takes. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "tests/lib/func_rig.h"
#include "tests/lib/known_process.h"

/*
 * bpftrace takes a probe off in some 0.1 s, so by default it gets a hundred; with
 * PERFTOP_BENCH_PROBES=1000 in the environment it gets those, in some two minutes.
 */
enum { ROUNDS = 3, BPFTRACE_PROBES = 100 };
static const double detach_target_ms = 1000;

static double ms_since(uint64_t begin_ns)
{
	return (double)(clock_mono_ns() - begin_ns) / 1e6;
}

static double least(double a, double b)
{
	return a > 0 && a < b ? a : b;
}

struct times {
	double resolve_ms, attach_ms, detach_ms;
	uint64_t counted;
};

/* Everything as a session does it, each step by itself. */
static int measure_once(struct known_process *k, const char *spec, struct times *out)
{
	struct func_rig r;
	uint64_t begin = clock_mono_ns();
	uint32_t n;

	func_rig_plan(&r, k->pid, &spec, 1, false);
	if (!r.plan) {
		fprintf(stderr, "bench_probes: %s\n", r.why);
		return -ENOENT;
	}
	out->resolve_ms = least(out->resolve_ms, ms_since(begin));
	func_rig_close(&r);
	if (func_rig_open(&r, k->pid, &spec, 1, false, bpf_has_uprobe_session())) {
		fprintf(stderr, "bench_probes: %s\n", r.why);
		func_rig_close(&r);
		return -EPERM;
	}
	out->attach_ms = least(out->attach_ms, (double)r.attach_ns / 1e6);
	n = probe_plan_rows(r.plan);
	known_tell(k, n > 1000 ? "call 0 10000 2" : "call 0 1000 2");
	out->counted = 0;
	for (uint32_t i = 0; i < n; i++)
		out->counted += func_hists_calls(&r.hists, i);
	begin = clock_mono_ns();
	func_attach_free(r.attach);
	out->detach_ms = least(out->detach_ms, ms_since(begin));
	r.attach = NULL;
	func_rig_close(&r);
	return 0;
}

static int measure(struct known_process *k, uint32_t n, const char *spec)
{
	struct times t = {0};

	for (int i = 0; i < ROUNDS; i++)
		if (measure_once(k, spec, &t))
			return 1;
	printf("%-10s %8u %12.1f %12.1f %12.1f   %s (detach <= %.0f ms); %llu calls of %u "
	       "counted\n",
	       "perftop", n, t.resolve_ms, t.attach_ms, t.detach_ms,
	       t.detach_ms <= detach_target_ms ? "PASS" : "MISSED", detach_target_ms,
	       (unsigned long long)t.counted, 2 * n);
	return 0;
}

/* Run a program to its end with its output discarded; ms that took, or -1. */
static double run_ms(char *const *argv)
{
	uint64_t begin = clock_mono_ns();
	int status, null;
	pid_t pid = fork();

	if (!pid) {
		null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		return -1;
	return ms_since(begin);
}

/* Start, attach, detach and end, by the clock on the wall: the same for both. */
static void compare(struct known_process *k, uint32_t n)
{
	char pid[16], spec[64], program[PATH_MAX + 64], exe[PATH_MAX];
	const char *pattern = n > 100 ? "many_0*" : "many_00*", *perftop = getenv("PERFTOP");
	char *ours[] = {(char *)(perftop ? perftop : "perftop"),
			"-p",
			pid,
			"-e",
			spec,
			"--json",
			"-d",
			"100ms",
			"--duration",
			"100ms",
			NULL};
	char *theirs[] = {"bpftrace", "-e", program, "-c", "/bin/true", NULL};
	char link[64];
	ssize_t len;
	double a, b;

	snprintf(pid, sizeof(pid), "%d", (int)k->pid);
	snprintf(spec, sizeof(spec), "many_functions:%s", pattern);
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)k->pid);
	len = readlink(link, exe, sizeof(exe) - 1);
	exe[len > 0 ? len : 0] = '\0';
	snprintf(program, sizeof(program), "uprobe:%s:%s { @ = count() }", exe, pattern);
	setenv("BPFTRACE_MAX_PROBES", "20000", 1);
	a = run_ms(ours);
	b = run_ms(theirs);
	printf("\nstart, attach, detach, end with %u functions: perftop %.0f ms", n, a);
	if (b < 0)
		printf("; bpftrace is missing or did not attach\n");
	else
		printf(", bpftrace %.0f ms: %s (at most as long)\n", b,
		       a > 0 && a <= b ? "PASS" : "MISSED");
}

int main(void)
{
	const char *wish = getenv("PERFTOP_BENCH_PROBES");
	struct known_process k;
	int failed;

	if (known_start_program(&k, "many_functions")) {
		fprintf(stderr, "bench_probes: tests/targets/many_functions does not start\n");
		return 1;
	}
	printf("%-10s %8s %12s %12s %12s\n", "ms, best", "probes", "resolve", "attach", "detach");
	failed = measure(&k, 1000, "many_functions:/^many_0[0-9]*$/");
	failed |= measure(&k, 10000, "many_functions:/^many_[0-9]*$/");
	compare(&k, wish && atoi(wish) >= 1000 ? 1000 : BPFTRACE_PROBES);
	known_end(&k);
	return failed;
}
