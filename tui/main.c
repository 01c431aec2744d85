/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: the composition root: options to target, session and front end. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "collectors/calls_stubs.h"
#include "collectors/clock.h"
#include "collectors/probe_plan.h"
#include "collectors/symbols.h"
#include "collectors/target.h"
#include "kernels/engine.h"
#include "tui/batch.h"
#include "tui/benchmark_command.h"
#include "tui/doctor.h"
#include "tui/launch.h"
#include "tui/options.h"
#include "tui/picker.h"
#include "tui/preload.h"
#include "tui/screen.h"
#include "tui/target_choice.h"
#include "tui/theme.h"
#include "tui/written.h"

enum {
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	ENGINE_MAX_ARGS = 64,
	ENGINE_GRACE_MS = 2000,
	COMMAND_GRACE_MS = 3000,
	ATTACH_MAX_MS = 30000, /* until the first tick: a huge binary takes a second or so */
	SAY_SIZE = 8192,
};

struct run {
	struct options opt;
	struct launch launch;
	struct session *session;
	bool batch, engine;
	char heap_library[PATH_MAX], calls_library[PATH_MAX];
	int signal_fd;
	uint64_t deadline_ns; /* --duration on a dashboard; 0 = none */
	char why[SAY_SIZE];
};

static int say(const char *text, int status)
{
	fprintf(stderr, "perftop: %s\n", text);
	return status;
}

/* A text that nobody can read is no success. */
static int say_written(int status)
{
	char why[128];
	int err = written(stdout);

	if (!err)
		return status;
	snprintf(why, sizeof(why), "cannot write the output: %s", strerror(-err));
	return say(why, status ? status : EXIT_FAILED);
}

/* ---- the target ----------------------------------------------------------------------------- */

static int resolve(struct run *r)
{
	int err = target_choice_resolve(&r->opt, r->why, sizeof(r->why));

	if (!err)
		return 0;
	/* A target that is not there may come: the options are right. Two of a name need another.
	 */
	return say(r->why, err == -EEXIST || err == -EINVAL ? EXIT_USAGE : EXIT_FAILED);
}

/* The engine's command line; words of --engine-args are cut apart in `words`. */
static int engine_argv(const struct options *opt, char *self, char *words, char **argv)
{
	uint32_t n = 0;

	argv[n++] = self;
	argv[n++] = "engine";
	argv[n++] = "--die-with-parent";
	if (opt->load) {
		argv[n++] = "--load";
		argv[n++] = (char *)opt->load;
	}
	for (char *rest = words, *word; (word = strtok_r(rest, " \t", &rest));) {
		if (n == ENGINE_MAX_ARGS)
			return -E2BIG;
		argv[n++] = word;
	}
	argv[n] = NULL;
	return 0;
}

static int start_engine(struct run *r)
{
	char self[PATH_MAX], *argv[ENGINE_MAX_ARGS + 1];
	char *words = strdup(r->opt.engine_args ? r->opt.engine_args : "");
	int err = words ? launch_self_path(self, sizeof(self)) : -ENOMEM;

	if (!err)
		err = engine_argv(&r->opt, self, words, argv);
	snprintf(r->why, sizeof(r->why), "cannot start the engine: %s", strerror(-err));
	/* What it says about its options must be seen; on a dashboard it has nothing to say. */
	if (!err)
		err = launch_start(&r->launch, argv, r->batch ? NULL : "/dev/null",
				   r->opt.session.nprobes ? LAUNCH_AT_ENTRY : LAUNCH_AT_EXEC,
				   r->why, sizeof(r->why));
	free(words);
	if (err)
		return say(r->why, EXIT_FAILED);
	r->engine = true;
	r->opt.session.pid = r->launch.pid;
	return 0;
}

/* The library that times calls is for the command, not for those that it starts. */
static int preload(struct run *r)
{
	struct session_config *cfg = &r->opt.session;
	char self[16];

	snprintf(self, sizeof(self), "%d", getpid());
	if (cfg->heap_library && preload_begin(r->heap_library))
		return -ENOMEM;
	if (!cfg->calls_library)
		return 0;
	return preload_begin(r->calls_library) || setenv(CALLS_LAUNCHER, self, 1) ? -ENOMEM : 0;
}

static void end_preload(struct run *r)
{
	struct session_config *cfg = &r->opt.session;

	if (cfg->calls_library) {
		preload_end();
		unsetenv(CALLS_LAUNCHER);
		cfg->calls_preloaded = true;
	}
	if (cfg->heap_library) {
		preload_end();
		cfg->heap_preloaded = true;
	}
}

static int start_command(struct run *r)
{
	const char *output = r->opt.output_path;
	int err;

	if (!output && !r->batch)
		output = "/dev/null";
	if (preload(r))
		return say("out of memory", EXIT_FAILED);
	err = launch_start(&r->launch, r->opt.launch, output,
			   r->opt.session.nprobes ? LAUNCH_AT_ENTRY : LAUNCH_AT_EXEC, r->why,
			   sizeof(r->why));
	end_preload(r);
	if (err)
		return say(r->why, err == -ENOENT ? 127 : err == -EACCES ? 126 : EXIT_FAILED);
	r->opt.session.pid = r->launch.pid;
	return 0;
}

static int pick(struct run *r)
{
	bool engine = false;
	int status;

	if (r->batch)
		return say("no target; give -p PID, -n NAME, -- COMMAND, or --watch for the "
			   "built-in engine",
			   EXIT_USAGE);
	status = picker_run(&r->opt.app, &r->opt.session.pid, &engine);
	if (status == -ECANCELED)
		return -ECANCELED;
	if (status)
		return status < 0 ? EXIT_FAILED : status;
	return engine ? start_engine(r) : 0;
}

static int find_libraries(struct run *r)
{
	struct session_config *cfg = &r->opt.session;
	int err = 0;

	if (cfg->replay_path)
		return 0;
	if (cfg->heap == HEAP_SAMPLE) {
		err = preload_find(PRELOAD_HEAP, "--heap=sample", r->heap_library,
				   sizeof(r->heap_library), r->why, sizeof(r->why));
		cfg->heap_library = r->heap_library;
	}
	if (!err && cfg->in_process) {
		err = preload_find(PRELOAD_CALLS, "--in-process", r->calls_library,
				   sizeof(r->calls_library), r->why, sizeof(r->why));
		cfg->calls_library = r->calls_library;
	}
	return err ? say(r->why, EXIT_FAILED) : 0;
}

/* 0, an exit status, or -ECANCELED when the user chose nothing. */
static int choose_target(struct run *r)
{
	if (r->opt.session.replay_path)
		return 0;
	if (r->opt.session.pid || r->opt.name || r->opt.cgroup || r->opt.container)
		return resolve(r);
	if (r->opt.launch)
		return start_command(r);
	if (r->opt.command == OPTIONS_DOCTOR) {
		r->opt.session.probes[0] = DOCTOR_FUNCTION;
		r->opt.session.probes[1] = DOCTOR_MARKER;
		r->opt.session.nprobes = 2;
	}
	return r->opt.watch || r->opt.command == OPTIONS_DOCTOR ? start_engine(r) : pick(r);
}

/* ---- the session ---------------------------------------------------------------------------- */

/*
 * A launched command waits until everything is attached: that is when the first tick is there.
 * It saw a command that had not run yet, so batch output leaves it out.
 */
static void release_when_attached(struct run *r)
{
	struct pollfd fds[] = {{.fd = session_eventfd(r->session), .events = POLLIN},
			       {.fd = r->signal_fd, .events = POLLIN}};

	if (!r->launch.held)
		return;
	poll(fds, 2, ATTACH_MAX_MS);
	if (r->batch && fds[0].revents)
		session_snapshot(r->session);
	launch_release(&r->launch);
}

static int start_session(struct run *r)
{
	struct session_config *cfg = &r->opt.session;
	int err;

	cfg->first_tick_soon = !r->batch || r->launch.held;
	r->session = session_new(cfg, &err, r->why, sizeof(r->why));
	if (!r->session)
		return say(r->why, EXIT_FAILED);
	if (r->opt.launch && !r->batch)
		session_event(r->session, "launched %.100s; what it prints %s%.100s",
			      r->opt.launch[0],
			      r->opt.output_path ? "goes to "
						 : "is discarded, keep it with --output FILE",
			      r->opt.output_path ? r->opt.output_path : "");
	err = session_start(r->session);
	if (err) {
		snprintf(r->why, sizeof(r->why), "cannot start a thread: %s", strerror(-err));
		return say(r->why, EXIT_FAILED);
	}
	release_when_attached(r);
	return 0;
}

static struct probe_plan *plan_probes(struct run *r, struct symbols *syms)
{
	struct place_options place = {.pid = r->opt.session.pid,
				      .force = r->opt.session.force,
				      .in_process = r->opt.session.in_process};
	int err = syms ? symbols_refresh(syms) : -ENOMEM;

	if (!err)
		return probe_plan_new(syms, r->opt.session.probes, r->opt.session.nprobes, &place,
				      r->why, sizeof(r->why));
	snprintf(r->why, sizeof(r->why),
		 "cannot read the mappings of pid %d: %s; run as its user or as root",
		 r->opt.session.pid, strerror(-err));
	return NULL;
}

static int list_probes(struct run *r)
{
	struct probe_plan *plan;
	struct symbols *syms;
	struct target target;

	if (target_init(&target, r->opt.session.pid, r->why, sizeof(r->why)))
		return say(r->why, EXIT_FAILED);
	target_fini(&target);
	syms = symbols_new(r->opt.session.pid);
	plan = plan_probes(r, syms);
	if (plan)
		probe_plan_list(plan, stdout);
	else
		say(r->why, EXIT_FAILED);
	symbols_free(syms);
	probe_plan_free(plan);
	return plan ? 0 : EXIT_FAILED;
}

/* ---- the front ends ------------------------------------------------------------------------- */

/*
 * The dashboard ends on SIGTERM with everything restored: --duration sends one. The timer lives as
 * long as the process.
 */
static void arm_duration(struct run *r)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGTERM};
	uint64_t ns = r->opt.duration_ns;
	struct itimerspec spec = {
		.it_value = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)},
	};
	timer_t timer;

	if (!ns || timer_create(CLOCK_MONOTONIC, &event, &timer))
		return;
	timer_settime(timer, 0, &spec, NULL);
	r->deadline_ns = clock_mono_ns() + ns;
}

static int run_dashboard(struct run *r)
{
	int status;

	arm_duration(r);
	status = app_run(r->session, &r->opt.app);
	if (r->deadline_ns && status == 128 + SIGTERM && clock_mono_ns() >= r->deadline_ns)
		return 0;
	return status < 0 ? EXIT_FAILED : status;
}

static int run_batch(struct run *r)
{
	int status;

	if (r->opt.session.replay_path)
		status = batch_replay(&r->opt, r->signal_fd, r->why, sizeof(r->why));
	else
		status = batch_run(r->session, &r->opt, r->signal_fd, r->why, sizeof(r->why));
	return status < 0 ? say(r->why, EXIT_FAILED) : status;
}

static int examine(struct run *r)
{
	int status = doctor_run(r->session, stdout);

	return status < 0 ? say("the engine was started, but no tick came from it", EXIT_FAILED)
			  : status;
}

/* The command's own status when it ended by itself; else it is ended now. */
static int end_launched(struct run *r, int status)
{
	bool force = r->engine;

	if (!r->launch.pid)
		return status;
	if (launch_ended(&r->launch)) {
		if (r->engine && !status && launch_exit_code(&r->launch))
			return say("the engine ended by itself; try: perftop engine", EXIT_FAILED);
		return status || r->engine ? status : launch_exit_code(&r->launch);
	}
	if (!launch_stop(&r->launch, force ? ENGINE_GRACE_MS : COMMAND_GRACE_MS, force))
		fprintf(stderr,
			"perftop: %s (pid %d) goes on after SIGTERM; end it with: kill -9 %d\n",
			r->opt.launch[0], r->launch.pid, r->launch.pid);
	return status;
}

/* A recording with holes is no success. */
static int say_unrecorded(struct run *r, int status)
{
	int err = 0;
	uint64_t lost = r->session ? session_unrecorded(r->session, &err) : 0;

	if (!lost)
		return status;
	snprintf(r->why, sizeof(r->why),
		 "%llu ticks were not recorded to %s: %s; make room, or name a file elsewhere",
		 (unsigned long long)lost, r->opt.session.record_path, strerror(-err));
	return say(r->why, status ? status : EXIT_FAILED);
}

static int run(struct run *r)
{
	bool live = !r->opt.session.replay_path;
	int status = find_libraries(r);

	if (!status)
		status = choose_target(r);
	if (!status && r->opt.command == OPTIONS_LIST_PROBES)
		return list_probes(r);
	if (!status && (live || !r->batch))
		status = start_session(r);
	if (status)
		return status == -ECANCELED ? 0 : status;
	if (r->opt.command == OPTIONS_DOCTOR)
		return examine(r);
	return r->batch ? run_batch(r) : run_dashboard(r);
}

static bool wants_batch(const struct options *opt)
{
	return opt->json || opt->text || opt->command == OPTIONS_LIST_PROBES ||
	       opt->command == OPTIONS_DOCTOR || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO);
}

/* A closed standard stream would be the number of the next file opened: writing to it must fail. */
static void hold_standard_files(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
			_exit(EXIT_FAILED);
}

int main(int argc, char **argv)
{
	struct run r = {.signal_fd = -1};
	struct theme theme;
	int status;

	hold_standard_files();
	signal(SIGXFSZ, SIG_IGN); /* at a limit of file sizes EFBIG says it, where it can be told */
	if (options_parse(&r.opt, argc, argv, r.why, sizeof(r.why)))
		return say(r.why, EXIT_USAGE);
	switch (r.opt.command) {
	case OPTIONS_ENGINE:
		return say_written(engine_main(argc - 1, argv + 1));
	case OPTIONS_BENCHMARK:
		return benchmark_main(argc - 1, argv + 1);
	case OPTIONS_HELP:
		options_print_help(stdout);
		return say_written(0);
	case OPTIONS_SHOW_VERSION:
		puts("perftop " PERFTOP_VERSION);
		return say_written(0);
	default:
		break;
	}
	/* Texts follow the user's locale; numbers in files and options do not. */
	setlocale(LC_ALL, "");
	setlocale(LC_NUMERIC, "C");
	r.batch = wants_batch(&r.opt);
	if (r.opt.app.theme && theme_load(&theme, r.opt.app.theme, r.why, sizeof(r.why)))
		return say(r.why, EXIT_USAGE);
	if (!r.batch && screen_check(r.why, sizeof(r.why)))
		return say(r.why, EXIT_FAILED);
	if (r.batch) {
		r.signal_fd = batch_block_signals();
		if (r.signal_fd < 0)
			return say("cannot watch for signals", EXIT_FAILED);
	}
	status = say_unrecorded(&r, run(&r));
	session_free(r.session);
	status = say_written(end_launched(&r, status));
	if (r.signal_fd >= 0)
		close(r.signal_fd);
	return status;
}
