/* SPDX-License-Identifier: Apache-2.0 */
/* bench_uprobe.c: what a timed call costs its program, beside bpftrace's latency histogram. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "tests/lib/func_rig.h"
#include "tests/lib/known_process.h"

enum { ROUNDS = 7, ATTACH_SECONDS = 20 };

struct row {
	const char *title, *spec, *command; /* command has the number of calls in it */
	const char *probe_command;	    /* a few calls: is somebody attached? */
	double bare_ns, ours_ns, theirs_ns;
	uint64_t counted;
};

static double best_ns(struct known_process *k, const char *command)
{
	double best = 0;

	for (int i = 0; i < ROUNDS; i++) {
		double ns;

		if (known_tell(k, command))
			return 0;
		ns = known_told(k, "ns");
		if (!i || ns < best)
			best = ns;
	}
	return best;
}

static int measure_ours(struct known_process *k, struct row *row)
{
	struct func_rig r;
	int err = func_rig_open(&r, k->pid, &row->spec, 1, false, bpf_has_uprobe_session());

	if (err) {
		fprintf(stderr, "bench_uprobe: %s\n", r.why);
		func_rig_close(&r);
		return err;
	}
	row->ours_ns = best_ns(k, row->command);
	func_rig_read(&r, probe_plan_row(r.plan, 0)->name);
	row->counted = r.sum.count;
	func_rig_close(&r);
	return 0;
}

/* The file that the function is in, as bpftrace wants it. */
static int file_of(struct known_process *k, const struct row *row, char *buf, size_t size)
{
	struct func_rig r;

	func_rig_plan(&r, k->pid, &row->spec, 1, false);
	if (r.plan)
		snprintf(buf, size, "%s", probe_plan_file(r.plan, 0)->path);
	else
		fprintf(stderr, "bench_uprobe: %s\n", r.why);
	func_rig_close(&r);
	return buf[0] ? 0 : -ENOENT;
}

static pid_t start_bpftrace(struct known_process *k, const struct row *row)
{
	char program[1024], file[256] = "", filter[16];
	const char *fn = strchr(row->spec, ':') + 1;
	pid_t pid;
	int null;

	if (file_of(k, row, file, sizeof(file)))
		return -1;
	snprintf(program, sizeof(program),
		 "uprobe:%s:%s { @s[tid] = nsecs } "
		 "uretprobe:%s:%s /@s[tid]/ { @ = hist(nsecs - @s[tid]); delete(@s[tid]) }",
		 file, fn, file, fn);
	snprintf(filter, sizeof(filter), "%d", (int)k->pid);
	pid = fork();
	if (pid)
		return pid;
	null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	execlp("bpftrace", "bpftrace", "-p", filter, "-e", program, NULL);
	_exit(127);
}

static int measure_theirs(struct known_process *k, struct row *row)
{
	pid_t pid = start_bpftrace(k, row);
	int err = -ETIMEDOUT;

	if (pid < 0)
		return -ENOENT;
	/* It says "Attaching" before it has: a call that got slower is the sign. */
	for (int i = 0; i < ATTACH_SECONDS * 10; i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return -ENOENT;
		if (known_tell(k, row->probe_command))
			break;
		if (known_told(k, "ns") > 200 + 20 * row->bare_ns) {
			err = 0;
			break;
		}
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	}
	if (!err) {
		sleep(1); /* the return probe comes second */
		row->theirs_ns = best_ns(k, row->command);
	}
	kill(pid, SIGINT);
	waitpid(pid, NULL, 0);
	return err;
}

int main(void)
{
	struct row rows[] = {
		{.title = "push prologue",
		 .spec = "known:known_push",
		 .command = "calls known_push 50000 1",
		 .probe_command = "calls known_push 20000 1"},
		{.title = "libc free",
		 .spec = "libc.so.6:free",
		 .command = "heap 10000",
		 .probe_command = "heap 3000"},
	};
	struct known_process k;
	int failed = 0;

	if (known_start(&k)) {
		fprintf(stderr, "bench_uprobe: tests/targets/known does not start\n");
		return 1;
	}
	printf("%-16s %10s %12s %12s %8s\n", "ns added a call", "bare", "perftop", "bpftrace",
	       "ratio");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct row *r = &rows[i];
		double ours, theirs;

		r->bare_ns = best_ns(&k, r->command);
		failed |= measure_ours(&k, r) != 0;
		if (measure_theirs(&k, r))
			printf("%-16s bpftrace is missing or did not attach\n", r->title);
		ours = r->ours_ns - r->bare_ns;
		theirs = r->theirs_ns - r->bare_ns;
		printf("%-16s %10.1f %12.1f %12.1f %8.2f  (%llu timed)\n", r->title, r->bare_ns,
		       ours, r->theirs_ns ? theirs : 0, r->theirs_ns ? theirs / ours : 0,
		       (unsigned long long)r->counted);
	}
	known_end(&k);
	return failed;
}
