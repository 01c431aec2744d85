/* SPDX-License-Identifier: Apache-2.0 */
/* test_options.c: the command line means what its help says, and mistakes are told with a fix. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tui/find_process.h"
#include "tui/launch.h"
#include "tui/options.h"
#include "tui/text_report.h"
#include "tests/lib/sample_snapshot.h"
#include "tests/lib/snapshot_fill.h"

#define SECOND 1000000000ull

/* Parse the words given, after "perftop". */
static int parse(struct options *o, char *why, const char *line, char *copy)
{
	static char *argv[128];
	int argc = 0;

	argv[argc++] = "perftop";
	strcpy(copy, line);
	for (char *rest = copy, *word; (word = strtok_r(rest, " ", &rest));) {
		assert_true(argc < 127);
		argv[argc++] = word;
	}
	argv[argc] = NULL;
	return options_parse(o, argc, argv, why, SNAP_TEXT);
}

static void accept(struct options *o, const char *line)
{
	static char copy[512];
	char why[SNAP_TEXT] = "";

	if (parse(o, why, line, copy))
		fail_msg("'%s' is refused: %s", line, why);
}

static void refuse(const char *line, const char *words)
{
	struct options o;
	char copy[512], why[SNAP_TEXT] = "";

	if (parse(&o, why, line, copy) != -EINVAL)
		fail_msg("'%s' is accepted", line);
	if (!strstr(why, words))
		fail_msg("'%s' gives '%s', without '%s'", line, why, words);
	assert_null(strchr(why, '\n'));
}

static void times_are_read_as_people_write_them(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {{"1", SECOND},	   {"0.5", SECOND / 2},	 {".25s", SECOND / 4},
		    {"500ms", SECOND / 2}, {"100us", 100000},	 {"20ns", 20},
		    {"2m", 120 * SECOND},  {"1h", 3600 * SECOND}};
	static const char *const bad[] = {"",	  "s",	  "-1",	  "+1", "1 s", "inf", "nan",
					  "0x10", "1sec", "1e30", "5x", " 1",  "1,5"};
	uint64_t ns;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(options_parse_time(good[i].text, &ns), 0);
		assert_int_equal(ns, good[i].ns);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (options_parse_time(bad[i], &ns) != -EINVAL)
			fail_msg("'%s' is a time of %llu ns", bad[i], (unsigned long long)ns);
}

static void defaults_are_those_of_the_help(void **state)
{
	struct options o;

	accept(&o, "-p 12");
	assert_int_equal(o.command, OPTIONS_WATCH);
	assert_int_equal(o.session.pid, 12);
	assert_int_equal(o.session.interval_ns, SECOND);
	assert_int_equal(o.app.interval_ns, SECOND);
	assert_int_equal(o.session.sample_hz, 99);
	assert_int_equal(o.session.syscalls, SYSCALL_AUTO);
	assert_true(o.session.offcpu);
	assert_false(o.session.no_bpf || o.session.force || o.json);
	assert_true(o.session.max_overhead_pct == 5);
	assert_true(o.session.replay_speed == 1);
}

static void every_option_reaches_its_place(void **state)
{
	struct options o;

	accept(&o, "--name redis -d 250ms --duration 3s -e libc:malloc --probe a:b --syscalls=full"
		   " --no-offcpu --hz 0 --target 5ms --json=/tmp/x --json-histograms -o run.ptop"
		   " --force --max-overhead 7.5 --theme t --view cpu --ascii --no-color");
	assert_string_equal(o.name, "redis");
	assert_int_equal(o.session.interval_ns, SECOND / 4);
	assert_int_equal(o.duration_ns, 3 * SECOND);
	assert_int_equal(o.session.nprobes, 2);
	assert_string_equal(o.session.probes[1], "a:b");
	assert_int_equal(o.session.syscalls, SYSCALL_FULL);
	assert_false(o.session.offcpu);
	assert_int_equal(o.session.sample_hz, 0);
	assert_int_equal(o.session.latency_target_ns, 5000000);
	assert_string_equal(o.json_path, "/tmp/x");
	assert_true(o.json && o.json_histograms);
	assert_string_equal(o.session.record_path, "run.ptop");
	assert_true(o.session.force && o.session.record_overwrite);
	assert_true(o.session.max_overhead_pct == 7.5);
	assert_string_equal(o.app.theme, "t");
	assert_string_equal(o.app.view, "cpu");
	assert_true(o.app.ascii);
	assert_int_equal(o.app.color, COLOR_MODE_NONE);
	accept(&o, "--replay run.ptop --speed 0 --text");
	assert_true(o.session.replay_speed == 0);
	assert_true(o.text);
	accept(&o, "--watch=0.2 --load 50 --engine-args --causal");
	assert_true(o.watch);
	assert_int_equal(o.session.interval_ns, SECOND / 5);
	accept(&o, "--json=- --no-bpf -n x");
	assert_null(o.json_path);
	assert_true(o.session.no_bpf);
	accept(&o, "--help");
	assert_int_equal(o.command, OPTIONS_HELP);
	accept(&o, "-V");
	assert_int_equal(o.command, OPTIONS_SHOW_VERSION);
	accept(&o, "engine --bogus");
	assert_int_equal(o.command, OPTIONS_ENGINE);
	accept(&o, "benchmark --bogus");
	assert_int_equal(o.command, OPTIONS_BENCHMARK);
}

static void options_of_the_launched_command_stay_its_own(void **state)
{
	struct options o;

	accept(&o, "-d 2 -- ls -l --json -p 1");
	assert_string_equal(o.launch[0], "ls");
	assert_string_equal(o.launch[2], "--json");
	assert_string_equal(o.launch[4], "1");
	assert_null(o.launch[5]);
	assert_false(o.json);
	assert_int_equal(o.session.pid, 0);
}

static void mistakes_are_told_with_their_fix(void **state)
{
	refuse("-p abc", "-n abc");
	refuse("-p -5", "no pid");
	refuse("1234", "perftop -p 1234");
	refuse("12,34", "perftop -p 12,34");
	refuse("12x", "-n 12x");
	refuse("-p 99999999999999999999", "no pid");
	refuse("-p", "needs a value");
	refuse("--pid", "needs a value");
	refuse("-d 5x", "500ms");
	refuse("-d 10ms", "50ms");
	refuse("--watch=0", "50ms");
	refuse("--hz 5000", "1000");
	refuse("--hz 1.5", "whole number");
	refuse("--syscalls some", "auto, full, count or off");
	refuse("--max-overhead -1", "from 0");
	refuse("--bogus", "--help");
	refuse("-x", "-x");
	refuse("redis", "perftop -- redis");
	refuse("-d 1 --", "without a command");
	refuse("-p 1 -n x", "more than one target");
	refuse("-p 1 -- ls", "more than one target");
	refuse("--replay a -o b", "together");
	refuse("--load 5 -p 1", "--watch");
	refuse("--output x -p 1", "-- COMMAND");
	refuse("--list-probes -p 1", "-e");
	refuse("-p 1 --no-bpf -e a:b", "--no-bpf");
	refuse("-p 1 --in-process", "-e");
	refuse("-p 1 --in-process -e a:b -e usdt:a:b:c", "usdt:a:b:c");
	refuse("-p 1 --in-process --heap=trace -e a:b", "--heap=trace");
	refuse("-n ", "needs a value");
	refuse("-p 1 --view nosuch", "use overview, latency,");
	refuse("--pid=", "--pid: its value is empty");
	refuse("--cgroup=", "empty");
	refuse("-p 1 --json=", "--json: its value is empty");
	refuse("-p 1 -o --force", "-o ./--force");
	refuse("-p 1 --json out.json", "--json=out.json");
	refuse("--watch 500ms", "--watch=500ms");
}

static void options_that_would_do_nothing_are_refused(void **state)
{
	struct options o;

	refuse("-p 1 --speed 5", "--replay FILE");
	refuse("-p 1 --target 5ms", "-e MODULE:FUNCTION");
	refuse("-p 1 --slower 5ms", "-e MODULE:FUNCTION");
	refuse("-p 1 --text --json", "one of them");
	refuse("-p 1 --no-bpf --syscalls full", "--no-bpf");
	refuse("-p 1 --no-bpf --heap trace", "--no-bpf");
	refuse("-n a -n b", "-n 'GLOB*'");
	refuse("--cgroup a --cgroup b", "twice");
	refuse("--container abcd --container abce", "--cgroup PATH");
	refuse("--replay a -e b:c", "recording");
	refuse("--replay a --heap sample", "recording");
	refuse("--replay a --follow-forks", "recording");
	refuse("--doctor --json", "text");
	refuse("--doctor -e a:b", "probes of its own");
	refuse("--list-probes -e a:b -p 1 --json", "text");
	refuse("-p 1 -o x --json=x", "one file");
	refuse("--replay /proc/self/exe --json=/proc/self/../self/exe", "one file");
	refuse("--json=x --output x -- true", "one file");
	accept(&o, "--json=/dev/null --output /dev/null -- true");
	accept(&o, "-p 1 --slower off");
	accept(&o, "-p 1 -p 2,3 --heap trace --target 5ms");
	assert_int_equal(o.npids, 3);
	accept(&o, "--watch --engine-args=");
}

static void too_many_probes_are_refused(void **state)
{
	char line[1024] = "-p 1";

	for (int i = 0; i <= SESSION_MAX_PROBES; i++)
		strcat(line, " -ea:b");
	refuse(line, "pattern");
}

static pid_t spawn_sleeper(const char *path)
{
	pid_t pid = fork();

	if (!pid) {
		execl("/bin/sleep", path, "1000", (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void a_process_is_found_by_its_exact_name(void **state)
{
	struct found_process found[FIND_PROCESS_MAX];
	char name[32], longer[40];
	pid_t pid;
	int n = 0;

	snprintf(name, sizeof(name), "ptop-%d", getpid());
	snprintf(longer, sizeof(longer), "/x/%s", name);
	pid = spawn_sleeper(longer); /* argv[0] has a folder, comm is sleep */
	for (int i = 0; i < 1000 && n != 1; i++) {
		usleep(1000);
		n = find_process(name, found);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(n, 1);
	assert_int_equal(found[0].pid, pid);
	assert_non_null(strstr(found[0].command, "1000"));
	name[strlen(name) - 1] = '\0';
	assert_int_equal(find_process(name, found), 0);
}

static int wait_for(struct launch *l)
{
	while (!launch_ended(l))
		usleep(1000);
	return launch_exit_code(l);
}

static void a_launched_command_is_held_until_released(void **state)
{
	static const enum launch_hold holds[] = {LAUNCH_AT_EXEC, LAUNCH_AT_ENTRY};
	char *argv[] = {"sh", "-c", "exit 7", NULL};
	char why[SNAP_TEXT];
	struct launch l;

	for (int i = 0; i < 2; i++) {
		if (launch_start(&l, argv, "/dev/null", holds[i], why, sizeof(why)))
			fail_msg("%s", why);
		assert_true(l.held);
		usleep(20000);
		assert_false(launch_ended(&l));
		launch_release(&l);
		assert_int_equal(wait_for(&l), 7);
	}
}

static void a_launched_command_dies_of_its_own_signal(void **state)
{
	char *argv[] = {"sh", "-c", "kill -9 $$", NULL};
	char why[SNAP_TEXT];
	struct launch l;

	assert_int_equal(launch_start(&l, argv, NULL, LAUNCH_AT_EXEC, why, sizeof(why)), 0);
	launch_release(&l);
	assert_int_equal(wait_for(&l), 128 + SIGKILL);
}

static void a_launched_command_is_ended_with_perftop(void **state)
{
	char *argv[] = {"sleep", "1000", NULL};
	char why[SNAP_TEXT];
	struct launch l;

	assert_int_equal(launch_start(&l, argv, NULL, LAUNCH_AT_EXEC, why, sizeof(why)), 0);
	launch_release(&l);
	assert_true(launch_stop(&l, 5000, false));
	assert_int_equal(launch_exit_code(&l), 128 + SIGTERM);
	/* One that is still held never runs at all. */
	assert_int_equal(launch_start(&l, argv, NULL, LAUNCH_AT_ENTRY, why, sizeof(why)), 0);
	assert_true(launch_stop(&l, 0, false));
	assert_int_equal(kill(l.pid, 0), -1);
}

static void a_command_that_cannot_start_is_told_and_leaves_nothing(void **state)
{
	char *missing[] = {"/nonexistent/x", NULL}, *folder[] = {"/tmp", NULL};
	char *there[] = {"true", NULL};
	char why[SNAP_TEXT] = "";
	struct launch l;

	assert_int_equal(launch_start(&l, missing, NULL, LAUNCH_AT_EXEC, why, sizeof(why)),
			 -ENOENT);
	assert_non_null(strstr(why, "no such command"));
	assert_int_equal(launch_start(&l, folder, NULL, LAUNCH_AT_EXEC, why, sizeof(why)), -EACCES);
	assert_int_equal(l.pid, 0);
	assert_int_equal(launch_start(&l, there, "/nonexistent/out", LAUNCH_AT_EXEC, why,
				      sizeof(why)),
			 -EBADF);
	assert_non_null(strstr(why, "cannot write /nonexistent/out"));
	assert_int_equal(l.pid, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

static void text_begins_with_the_answer(void **state)
{
	struct text_report r = {.ascii = true};
	struct snapshot *s = snapshot_new();
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	sample_snapshot_fill(s, SAMPLE_LOCKS, 1);
	snapshot_set_section(s, "func", SECTION_ABSENT, "none named", "-e MODULE:FUNCTION");
	text_report_write(&r, s, f);
	fflush(f);
	assert_true(strstr(text, "\nverdict     Blocked on locks: ") == strchr(text, '\n'));
	assert_non_null(strstr(text, "waits for mutex image_cache+32 in cache_lookup"));
	/* Named functions were not asked for: that they are missing is no news, but why is. */
	assert_null(strstr(text, "func is absent"));
	r.nsections = 0;
	snapshot_set_section(s, "func", SECTION_ABSENT, "no permission", "sudo perftop");
	text_report_write(&r, s, f);
	fclose(f);
	assert_non_null(strstr(text, "section     func is absent: "));
	free(text);
	snapshot_free(s);
}

static void text_has_a_line_for_each_subject_and_news_only_once(void **state)
{
	static const char *const words[] = {"\nverdict ", "\ncpu ",	   "\nmemory ",
					    "\nblocked ", "\nfunction ",   "\nlatency ",
					    "\nsyscall ", "\nlock ",	   "\ncounter ",
					    "\nkernel ",  "\ntrajectory ", "\nalert ",
					    "\ncost ",	  "\nlearning "};
	struct text_report r = {.ascii = true};
	struct snapshot *s = snapshot_new();
	char *text = NULL, *again;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	snapshot_fill(s, 3, 1);
	text_report_write(&r, s, f);
	fflush(f);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strstr(text, words[i]))
			fail_msg("no line%s", words[i]);
	assert_non_null(strstr(text, "\nevent "));
	assert_non_null(strstr(text, "\nsection "));
	for (const char *p = text; *p; p++)
		assert_true((unsigned char)*p < 0x80);
	text_report_write(&r, s, f);
	fclose(f);
	again = strstr(text, "\n\n");
	assert_non_null(again);
	assert_null(strstr(again, "\nevent "));
	assert_null(strstr(again, "\nsection "));
	free(text);
	snapshot_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_read_as_people_write_them),
		cmocka_unit_test(defaults_are_those_of_the_help),
		cmocka_unit_test(every_option_reaches_its_place),
		cmocka_unit_test(options_of_the_launched_command_stay_its_own),
		cmocka_unit_test(mistakes_are_told_with_their_fix),
		cmocka_unit_test(options_that_would_do_nothing_are_refused),
		cmocka_unit_test(too_many_probes_are_refused),
		cmocka_unit_test(a_process_is_found_by_its_exact_name),
		cmocka_unit_test(a_launched_command_is_held_until_released),
		cmocka_unit_test(a_launched_command_dies_of_its_own_signal),
		cmocka_unit_test(a_launched_command_is_ended_with_perftop),
		cmocka_unit_test(a_command_that_cannot_start_is_told_and_leaves_nothing),
		cmocka_unit_test(text_begins_with_the_answer),
		cmocka_unit_test(text_has_a_line_for_each_subject_and_news_only_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
