/* SPDX-License-Identifier: Apache-2.0 */
/* test_inject.c: loading a library into running programs, which must not notice. */
/* Long because one program stands for all targets: it is loaded into in each way, and killed in
 * each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/inject.h"
#include "collectors/inject_modules.h"
#include "collectors/inject_priv.h"
#include "tests/lib/known_process.h"

enum { PAIRS = 100000, KILLS = 100, THREADS = 50 };

/* struct inject_so_counts of tests/targets/inject_so.c */
struct counts {
	uint64_t mallocs, frees, callocs, reallocs, bytes, inits;
};

static void beside(char *buf, size_t size, const char *name)
{
	char self[PATH_MAX - 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(n > 0);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	*strrchr(self, '/') = '\0';
	snprintf(buf, size, "%s/targets/%s", self, name);
}

static void read_counts(pid_t pid, struct counts *c)
{
	struct inject_modules m;
	struct inject_symbol y;

	assert_int_equal(inject_modules_read(&m, pid), 0);
	assert_int_equal(inject_modules_find(&m, pid, "inject_so_counts", &y), 0);
	assert_int_equal(inject_read(pid, y.addr, c, sizeof(*c)), 0);
	inject_modules_fini(&m);
}

/* Loading is tried again where no moment was safe: a busy machine gives few. */
static void load(pid_t pid, const char *so, struct inject_result *r)
{
	char why[INJECT_WHY];
	int err = -EAGAIN;

	for (int i = 0; i < 5 && err == -EAGAIN; i++)
		err = inject_load(pid, so, r, why, sizeof(why));
	if (err)
		print_error("inject_load: %d %s\n", err, why);
	assert_int_equal(err, 0);
}

static void unload(pid_t pid, struct inject_unloaded *u)
{
	char why[INJECT_WHY];

	assert_int_equal(inject_unload(pid, u, why, sizeof(why)), 0);
}

static uint64_t heap_pairs(struct known_process *k)
{
	struct counts before, after;
	char text[32];

	snprintf(text, sizeof(text), "heap %d", PAIRS);
	read_counts(k->pid, &before);
	assert_int_equal(known_tell(k, text), 0);
	read_counts(k->pid, &after);
	assert_true(after.frees - before.frees <= after.mallocs - before.mallocs);
	return after.mallocs - before.mallocs;
}

static void loaded_library_sees_every_call_and_none_once_it_is_out(void **state)
{
	struct inject_unloaded u;
	struct known_process k;
	struct inject_result r;
	struct counts c;
	char so[PATH_MAX];

	beside(so, sizeof(so), "inject.so");
	assert_int_equal(known_start(&k), 0);
	load(k.pid, so, &r);
	assert_true(r.tid && r.called && r.slots && r.stop_ns);
	read_counts(k.pid, &c);
	assert_int_equal(c.inits, 1);
	assert_int_equal(heap_pairs(&k), PAIRS);
	unload(k.pid, &u);
	assert_int_equal(u.slots, r.slots);
	assert_true(u.kept_bytes > 0);
	assert_int_equal(heap_pairs(&k), 0);
	/* Once more, which needs no stop. */
	load(k.pid, so, &r);
	assert_int_equal(r.tid, 0);
	assert_int_equal(r.slots, u.slots);
	assert_int_equal(heap_pairs(&k), PAIRS);
	unload(k.pid, &u);
	assert_int_equal(known_end(&k), 0);
}

/* ---- modules that come later ---------------------------------------------------------------- */

struct child {
	pid_t pid;
	FILE *in, *out;
};

/* Loads each library that it is told the name of. */
static int python_start(struct child *c)
{
	static const char script[] = "import sys, ctypes\n"
				     "print('ready', flush=True)\n"
				     "for line in sys.stdin:\n"
				     "    x = ctypes.CDLL(line.strip()); print(x, flush=True)\n";
	int to[2], from[2];
	char line[256];

	assert_int_equal(pipe2(to, O_CLOEXEC) | pipe2(from, O_CLOEXEC), 0);
	c->pid = fork();
	if (!c->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(to[0], 0);
		dup2(from[1], 1);
		execlp("python3", "python3", "-c", script, NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	c->in = fdopen(to[1], "w");
	c->out = fdopen(from[0], "r");
	return fgets(line, sizeof(line), c->out) ? 0 : -ENOENT;
}

static void python_end(struct child *c)
{
	int status;

	fclose(c->in);
	fclose(c->out);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	assert_int_equal(status, 0);
}

static void library_that_the_program_loads_later_is_hooked_in(void **state)
{
	struct inject_follow f = {0};
	struct inject_unloaded u;
	struct inject_result r;
	struct child c;
	char so[PATH_MAX], line[256];
	uint32_t before;

	if (python_start(&c))
		skip();
	beside(so, sizeof(so), "inject.so");
	load(c.pid, so, &r);
	assert_int_equal(inject_follow(c.pid, &r, &f), 0);
	before = r.slots;
	fprintf(c.in, "libstdc++.so.6\n");
	fflush(c.in);
	assert_non_null(fgets(line, sizeof(line), c.out));
	assert_true(inject_follow(c.pid, &r, &f) > 0);
	assert_true(r.slots > before);
	assert_int_equal(inject_follow(c.pid, &r, &f), 0);
	unload(c.pid, &u);
	assert_int_equal(u.slots, r.slots);
	python_end(&c);
}

/* ---- fifty threads that notice -------------------------------------------------------------- */

struct fifty {
	pid_t pid;
	int in, out;
};

static void fifty_start(struct fifty *f)
{
	char path[PATH_MAX], text[64];
	int to[2], from[2];

	beside(path, sizeof(path), "inject_fifty");
	assert_int_equal(pipe2(to, O_CLOEXEC) | pipe2(from, O_CLOEXEC), 0);
	f->pid = fork();
	if (!f->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(to[0], 0);
		dup2(from[1], 1);
		execl(path, path, NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	f->in = to[1];
	f->out = from[0];
	assert_true(read(f->out, text, sizeof(text)) > 0);
}

/* It was disturbed in nothing. */
static void fifty_end(struct fifty *f)
{
	char text[512] = "";
	int status;

	close(f->in);
	assert_true(read(f->out, text, sizeof(text) - 1) > 0);
	close(f->out);
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	if (strncmp(text, "wrong=0 ", 8) || status)
		print_error("%s", text);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void copy_file(const char *from, const char *to)
{
	char buf[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	ssize_t n;

	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		assert_int_equal(write(out, buf, (size_t)n), n);
	close(in);
	close(out);
}

static void no_thread_notices_that_a_library_is_loaded_and_taken_out(void **state)
{
	struct inject_unloaded u;
	struct inject_result r;
	struct fifty f;
	char so[PATH_MAX];

	beside(so, sizeof(so), "inject.so");
	fifty_start(&f);
	load(f.pid, so, &r);
	assert_true(r.tid > 0);
	for (int i = 0; i < 50; i++) {
		unload(f.pid, &u);
		load(f.pid, so, &r);
		usleep(5000);
	}
	unload(f.pid, &u);
	fifty_end(&f);
}

/* Each of the fifty, in whatever it does, runs dlopen of a file that was not loaded before. */
static void no_thread_notices_that_it_was_borrowed(void **state)
{
	char so[PATH_MAX], dir[] = "/tmp/perftop-inject.XXXXXX", copy[PATH_MAX], tasks[32];
	uint32_t borrowed = 0, threads = 0;
	uint64_t sum = 0;
	struct fifty f;
	struct dirent *e;
	DIR *d;

	beside(so, sizeof(so), "inject.so");
	assert_non_null(mkdtemp(dir));
	fifty_start(&f);
	snprintf(tasks, sizeof(tasks), "/proc/%d/task", f.pid);
	d = opendir(tasks);
	assert_non_null(d);
	while ((e = readdir(d))) {
		struct inject_result r;
		char why[INJECT_WHY];
		int err;

		if (e->d_name[0] == '.')
			continue;
		threads++;
		snprintf(copy, sizeof(copy), "%s/%u.so", dir, threads);
		copy_file(so, copy);
		err = inject_load_file(f.pid, atoi(e->d_name), &inject_heap, copy, &r, why,
				       sizeof(why));
		unlink(copy);
		if (err)
			print_message("# %s: %s\n", e->d_name, why);
		borrowed += !err;
		sum += err ? 0 : r.stop_ns;
	}
	closedir(d);
	rmdir(dir);
	print_message("# %u of %u threads, a stop of %llu us on average\n", borrowed, threads,
		      (unsigned long long)(sum / (borrowed + !borrowed) / 1000));
	assert_int_equal(threads, 51);
	/* Some are never found in a safe place on a busy machine; most are. */
	assert_true(borrowed >= 40);
	fifty_end(&f);
}

/* ---- perftop dies --------------------------------------------------------------------------- */

/* Shared with the loader, which is killed. */
struct killing {
	_Atomic uint32_t calls; /* of ptrace so far */
	uint32_t die_before;	/* this one; 0: never */
};

/* The global killing_now: ptrace has no context that could carry it. */
static struct killing *killing_now;

/* Stands before the C library's, for the loader too. */
long ptrace(enum __ptrace_request request, ...)
{
	va_list ap;
	long pid, addr, data;

	va_start(ap, request);
	pid = va_arg(ap, long);
	addr = va_arg(ap, long);
	data = va_arg(ap, long);
	va_end(ap);
	if (killing_now && ++killing_now->calls == killing_now->die_before)
		raise(SIGKILL);
	return syscall(SYS_ptrace, (long)request, (pid_t)pid, addr, data);
}

static void wait_ns(uint64_t ns)
{
	uint64_t end = clock_mono_ns() + ns;

	while (clock_mono_ns() < end)
		;
}

struct victim {
	struct fifty f;
	char so[PATH_MAX], dir[32];
	uint32_t copies;
};

static void victim_start(struct victim *v)
{
	beside(v->so, sizeof(v->so), "inject.so");
	snprintf(v->dir, sizeof(v->dir), "/tmp/perftop-inject.XXXXXX");
	assert_non_null(mkdtemp(v->dir));
	v->copies = 0;
	fifty_start(&v->f);
	killing_now = mmap(NULL, sizeof(*killing_now), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(killing_now != MAP_FAILED);
}

/* Load a file that is not there yet, in one thread or any, in a process of its own. */
static pid_t victim_load(struct victim *v, pid_t only, char *copy, size_t size)
{
	pid_t pid;

	snprintf(copy, size, "%s/%u.so", v->dir, v->copies++);
	copy_file(v->so, copy);
	pid = fork();
	if (!pid) {
		struct inject_result r;
		char why[INJECT_WHY];

		_exit(inject_load_file(v->f.pid, only, &inject_heap, copy, &r, why, sizeof(why))
			      ? 1
			      : 0);
	}
	return pid;
}

/* All but the first, in the order in which they were started. */
static void read_threads(pid_t pid, pid_t *tids)
{
	struct dirent *e;
	char path[32];
	int n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	assert_non_null(d);
	while (n < THREADS && (e = readdir(d)))
		if (atoi(e->d_name) != pid && e->d_name[0] != '.')
			tids[n++] = atoi(e->d_name);
	closedir(d);
	assert_int_equal(n, THREADS);
}

static bool all_scheduled_as_others(pid_t pid)
{
	pid_t tids[THREADS];
	bool all = sched_getscheduler(pid) == SCHED_OTHER;

	read_threads(pid, tids);
	for (int i = 0; i < THREADS; i++)
		all &= sched_getscheduler(tids[i]) == SCHED_OTHER;
	return all;
}

/*
 * And after all that no thread is still real-time, and it can be loaded, hooked in, and taken out.
 */
static void victim_end(struct victim *v)
{
	struct inject_unloaded u;
	struct inject_result r;
	uint64_t end = clock_mono_ns() + 5000000000u;

	while (!all_scheduled_as_others(v->f.pid) && clock_mono_ns() < end)
		usleep(1000);
	assert_true(all_scheduled_as_others(v->f.pid));
	munmap(killing_now, sizeof(*killing_now));
	killing_now = NULL;
	load(v->f.pid, v->so, &r);
	unload(v->f.pid, &u);
	rmdir(v->dir);
	fifty_end(&v->f);
}

static void target_lives_when_its_loader_is_killed_between_any_two_steps(void **state)
{
	struct victim v;
	uint32_t steps = 0;

	victim_start(&v);
	for (int finished = 0; !finished && steps < 200; steps++) {
		char copy[PATH_MAX];
		int status;
		pid_t pid;

		killing_now->calls = 0;
		killing_now->die_before = steps + 1;
		pid = victim_load(&v, 0, copy, sizeof(copy));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		unlink(copy);
		finished = WIFEXITED(status);
	}
	print_message("# %u steps\n", steps);
	assert_true(steps > 15);
	victim_end(&v);
}

/* The nth thread's waits are those of tests/targets/inject_fifty.c, in the order of its table. */
static void target_lives_whatever_the_thread_did_whose_loader_was_killed(void **state)
{
	enum { FIRST_EPOLL = 19, LAST_EPOLL = 24 };
	pid_t tids[THREADS], pid;
	unsigned seed = 11;
	struct victim v;

	victim_start(&v);
	read_threads(v.f.pid, tids);
	for (int i = 0; i < KILLS; i++) {
		char copy[PATH_MAX];
		int status, nth = i % THREADS;

		/* Until it is mended, epoll_wait has ended with EINTR: that is how Linux stops it.
		 */
		if (nth >= FIRST_EPOLL && nth <= LAST_EPOLL)
			continue;
		killing_now->calls = 0;
		killing_now->die_before = 1 + (uint32_t)rand_r(&seed) % 22;
		pid = victim_load(&v, tids[nth], copy, sizeof(copy));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		unlink(copy);
	}
	victim_end(&v);
}

static void target_lives_when_its_loader_is_killed_at_random(void **state)
{
	uint32_t ended = 0;
	unsigned seed = 7;
	struct victim v;

	victim_start(&v);
	for (int i = 0; i < KILLS; i++) {
		char copy[PATH_MAX];
		int status = 0;
		pid_t pid, gone = 0;

		killing_now->calls = 0;
		killing_now->die_before = 0;
		pid = victim_load(&v, 0, copy, sizeof(copy));
		/* From its first step on, for as long as a load takes. */
		while (!killing_now->calls && !gone)
			gone = waitpid(pid, &status, WNOHANG);
		if (!gone) {
			wait_ns((uint64_t)(rand_r(&seed) % 1500) * 1000);
			kill(pid, SIGKILL);
			assert_int_equal(waitpid(pid, &status, 0), pid);
		}
		ended += WIFEXITED(status);
		unlink(copy);
		assert_int_equal(kill(v.f.pid, 0), 0);
	}
	print_message("# %u of %d had ended before they were killed\n", ended, KILLS);
	assert_true(ended < KILLS);
	victim_end(&v);
}

/* ---- no waiting for a CPU ------------------------------------------------------------------- */

static pid_t sleeper_start(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	assert_int_equal(setpriority(PRIO_PROCESS, (id_t)pid, 7), 0);
	return pid;
}

static void sleeper_end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Has to be so soon: it is what others on its CPU wait for. */
static void assert_as_before(pid_t pid)
{
	for (int i = 0; i < 5000 && sched_getscheduler(pid) != SCHED_OTHER; i++)
		usleep(1000);
	assert_int_equal(sched_getscheduler(pid), SCHED_OTHER);
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)pid), 7);
}

/* A control group may have no real-time share, even for root. */
static void need_real_time(void)
{
	struct sched_param first = {.sched_priority = 1}, was = {0};

	if (sched_setscheduler(0, SCHED_FIFO, &first))
		skip();
	assert_int_equal(sched_setscheduler(0, SCHED_OTHER, &was), 0);
}

static void borrowed_thread_has_its_own_scheduling_back(void **state)
{
	struct inject_hurry h;
	pid_t pid;

	need_real_time();
	pid = sleeper_start();
	inject_hurry_begin(&h, pid);
	assert_int_equal(sched_getscheduler(pid), SCHED_FIFO | SCHED_RESET_ON_FORK);
	assert_int_equal(sched_getscheduler(0), SCHED_FIFO | SCHED_RESET_ON_FORK);
	inject_hurry_end(&h);
	assert_as_before(pid);
	assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
	sleeper_end(pid);
}

static void borrowed_thread_has_it_back_when_its_loader_is_killed(void **state)
{
	struct inject_hurry h;
	pid_t pid, loader;
	int status;

	need_real_time();
	pid = sleeper_start();
	loader = fork();
	if (!loader) {
		inject_hurry_begin(&h, pid);
		raise(h.theirs_raised ? SIGKILL : SIGTERM);
	}
	assert_int_equal(waitpid(loader, &status, 0), loader);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_as_before(pid);
	sleeper_end(pid);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static pid_t start_sleeper(void (*before)(void))
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (before)
			before();
		execl("/bin/sleep", "sleep", "100", NULL);
		_exit(127);
	}
	close(ready[1]);
	/* Closed by execve. */
	assert_int_equal(read(ready[0], &byte, 1), 0);
	close(ready[0]);
	return pid;
}

static void stop_sleeper(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void assert_refused(pid_t pid, const char *reason)
{
	char why[INJECT_WHY] = "";

	assert_true(inject_check(pid, why, sizeof(why)) < 0);
	if (!strstr(why, reason))
		print_error("'%s' does not say '%s'\n", why, reason);
	assert_non_null(strstr(why, reason));
}

static void add_filter(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {.len = 1, .filter = &allow};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static void filtered_process_is_refused(void **state)
{
	pid_t pid = start_sleeper(add_filter);

	assert_refused(pid, "seccomp");
	stop_sleeper(pid);
}

static void stopped_process_is_refused_with_the_command_that_continues_it(void **state)
{
	pid_t pid = start_sleeper(NULL);

	kill(pid, SIGSTOP);
	waitpid(pid, NULL, WUNTRACED);
	assert_refused(pid, "kill -CONT");
	stop_sleeper(pid);
}

static void traced_process_is_refused_with_the_tracer(void **state)
{
	pid_t pid = start_sleeper(NULL);
	char tracer[32];

	assert_int_equal(ptrace(PTRACE_SEIZE, pid, 0L, 0L), 0);
	snprintf(tracer, sizeof(tracer), "process %d traces it", getpid());
	assert_refused(pid, tracer);
	stop_sleeper(pid);
}

static void process_that_is_gone_is_refused(void **state)
{
	pid_t pid = start_sleeper(NULL);

	stop_sleeper(pid);
	assert_refused(pid, "no process");
}

static void file_that_is_no_library_is_refused_and_stops_nothing(void **state)
{
	pid_t pid = start_sleeper(NULL);
	struct inject_result r;
	char why[INJECT_WHY];

	assert_int_equal(inject_load(pid, "/etc/passwd", &r, why, sizeof(why)), -ENOEXEC);
	assert_int_equal(r.tid, 0);
	assert_true(inject_load(pid, "/nowhere/x.so", &r, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "/nowhere/x.so"));
	stop_sleeper(pid);
}

static void hide_tmp(void)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/tmp", "tmpfs", 0, NULL))
		_exit(126);
}

/* As in a container, which does not see perftop's files. */
static void library_that_the_target_does_not_see_is_handed_over(void **state)
{
	char so[PATH_MAX], copy[] = "/tmp/perftop-inject-XXXXXX";
	struct inject_unloaded u;
	struct inject_result r;
	struct counts c;
	pid_t pid;

	if (geteuid())
		skip();
	beside(so, sizeof(so), "inject.so");
	close(mkstemp(copy));
	copy_file(so, copy);
	pid = start_sleeper(hide_tmp);
	load(pid, copy, &r);
	unlink(copy);
	assert_true(r.tid > 0);
	read_counts(pid, &c);
	assert_int_equal(c.inits, 1);
	unload(pid, &u);
	assert_int_equal(u.slots, r.slots);
	stop_sleeper(pid);
}

/* ---- for tests/system/test_inject.sh: "check PID", "load PID FILE", "unload PID", "counts PID" -
 */

/* What loading the library takes a process that does it itself: the stop cannot be shorter. */
static int load_here(const char *library)
{
	uint64_t begin = clock_mono_ns();
	void *handle = dlopen(library, RTLD_NOW);

	printf("load_us=%.1f\n", (double)(clock_mono_ns() - begin) / 1e3);
	return !handle;
}

static int drive(char **arg)
{
	struct inject_unloaded u;
	struct inject_result r;
	struct counts c;
	char why[INJECT_WHY];
	int pid = atoi(arg[2]), err;

	if (!strcmp(arg[1], "counts")) {
		read_counts(pid, &c);
		printf("mallocs=%" PRIu64 " callocs=%" PRIu64 " reallocs=%" PRIu64 " frees=%" PRIu64
		       " bytes=%" PRIu64 "\n",
		       c.mallocs, c.callocs, c.reallocs, c.frees, c.bytes);
		return 0;
	}
	if (!strcmp(arg[1], "check"))
		err = inject_check(pid, why, sizeof(why));
	else if (!strcmp(arg[1], "unload"))
		err = inject_unload(pid, &u, why, sizeof(why));
	else
		err = inject_load(pid, arg[3], &r, why, sizeof(why));
	if (err) {
		printf("err=%d why=%s\n", err, why);
		return 1;
	}
	if (!strcmp(arg[1], "load"))
		printf("stop_us=%.1f probe_us=%.1f tries=%u tid=%u call=%s slots=%u modules=%u "
		       "foreign=%u called=%d\n",
		       (double)r.stop_ns / 1e3, (double)r.probe_ns / 1e3, r.tries, r.tid,
		       r.thread_call, r.slots, r.modules, r.foreign, r.called);
	if (!strcmp(arg[1], "unload"))
		printf("slots=%u kept=%" PRIu64 "\n", u.slots, u.kept_bytes);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loaded_library_sees_every_call_and_none_once_it_is_out),
		cmocka_unit_test(library_that_the_program_loads_later_is_hooked_in),
		cmocka_unit_test(no_thread_notices_that_a_library_is_loaded_and_taken_out),
		cmocka_unit_test(no_thread_notices_that_it_was_borrowed),
		cmocka_unit_test(target_lives_when_its_loader_is_killed_between_any_two_steps),
		cmocka_unit_test(target_lives_when_its_loader_is_killed_at_random),
		cmocka_unit_test(target_lives_whatever_the_thread_did_whose_loader_was_killed),
		cmocka_unit_test(borrowed_thread_has_its_own_scheduling_back),
		cmocka_unit_test(borrowed_thread_has_it_back_when_its_loader_is_killed),
		cmocka_unit_test(filtered_process_is_refused),
		cmocka_unit_test(stopped_process_is_refused_with_the_command_that_continues_it),
		cmocka_unit_test(traced_process_is_refused_with_the_tracer),
		cmocka_unit_test(process_that_is_gone_is_refused),
		cmocka_unit_test(file_that_is_no_library_is_refused_and_stops_nothing),
		cmocka_unit_test(library_that_the_target_does_not_see_is_handed_over),
	};

	if (argc > 2 && !strcmp(argv[1], "load-here"))
		return load_here(argv[2]);
	if (argc > 2)
		return drive(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
