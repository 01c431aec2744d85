/* SPDX-License-Identifier: Apache-2.0 */
/* test_engine.c: `perftop engine` starts, stops, refuses, and shares its weights safely. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/engine.h"
#include "kernels/lora/lora_shared.h"

#define ARGS(...) ((char *[]){(char *)"engine", __VA_ARGS__, NULL})

/* The engine in a child; what it prints comes out of *out. */
static pid_t start_engine(char **argv, int *out)
{
	int fds[2], argc = 0;
	pid_t pid;

	while (argv[argc])
		argc++;
	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		int status;

		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		status = engine_main(argc, argv);
		fflush(NULL);
		_exit(status);
	}
	close(fds[1]);
	*out = fds[0];
	return pid;
}

static int end_engine(pid_t pid, int out, char *text, size_t size)
{
	size_t used = 0;
	ssize_t n;
	int status;

	while (used + 1 < size && (n = read(out, text + used, size - 1 - used)) > 0)
		used += (size_t)n;
	text[used] = '\0';
	close(out);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int run_engine(char **argv, char *text, size_t size)
{
	int out;
	pid_t pid = start_engine(argv, &out);

	return end_engine(pid, out, text, size);
}

#define SMALL "--seq", "20", "--dim", "10", "--heads", "2", "--workers", "2"

static void bad_options_are_accepted_or_crash(void **state)
{
	static char *const bad[][2] = {
		{"--workers", "0"},	{"--workers", "x"},    {"--load", "-1"},
		{"--load", "nan"},	{"--duration", "5 s"}, {"--duration", "-1s"},
		{"--seq", "0"},		{"--seq", "1e3"},      {"--dim", "1025"},
		{"--heads", "9"},	{"--isa", "vax"},      {"--buffer", "1"},
		{"--drain-delay", ""},	{"--kv-heads", "3"},   {"--no-such", "1"},
		{"--verbose", "extra"}, {"--learning", "all"}, {"--loop-b", "x"},
		{"--loop-c", "-1s"},	{"--state", ""},       {"--state-fresh", "--verbose"},
	};
	char text[4096];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int status = run_engine(ARGS(bad[i][0], bad[i][1]), text, sizeof(text));

		if (status != 2 || !strlen(text))
			fail_msg("%s %s: status %d, said \"%s\"", bad[i][0], bad[i][1], status,
				 text);
	}
	assert_int_equal(run_engine(ARGS("--help"), text, sizeof(text)), 0);
	assert_non_null(strstr(text, "--drain-delay"));
}

static void counts(const char *text, unsigned long long *served, unsigned long long *recorded,
		   unsigned long long *dropped)
{
	const char *line = strstr(text, "engine served ");

	assert_non_null(line);
	assert_int_equal(sscanf(line, "engine served %llu recorded %llu dropped %llu", served,
				recorded, dropped),
			 3);
}

static void it_does_not_end_when_its_duration_does(void **state)
{
	unsigned long long served, recorded, dropped;
	char text[4096];

	assert_int_equal(run_engine(ARGS(SMALL, "--duration", "200ms", "--load", "0", "--verbose"),
				    text, sizeof(text)),
			 0);
	counts(text, &served, &recorded, &dropped);
	assert_true(served > 0);
	assert_int_equal(served, recorded + dropped);
}

static void a_full_buffer_stops_it(void **state)
{
	unsigned long long served, recorded, dropped;
	char text[4096];

	assert_int_equal(run_engine(ARGS(SMALL, "--duration", "200ms", "--load", "0", "--verbose",
					 "--buffer", "2", "--drain-delay", "1h"),
				    text, sizeof(text)),
			 0);
	counts(text, &served, &recorded, &dropped);
	assert_int_equal(recorded, 2);
	assert_int_equal(dropped, served - 2);
}

static void a_signal_does_not_end_it(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};

	for (size_t i = 0; i < 3; i++) {
		char text[4096];
		int out;
		/* One query in a quarter of an hour: workers are asleep when the signal comes. */
		pid_t pid = start_engine(ARGS(SMALL, "--load", "0.001", "--verbose"), &out);

		assert_int_equal(read(out, text, 7), 7); /* it runs: "engine " is out */
		assert_int_equal(kill(pid, signals[i]), 0);
		assert_int_equal(end_engine(pid, out, text, sizeof(text)), 0);
	}
}

static void learning_is_not_what_was_asked_for(void **state)
{
	unsigned long long served, recorded, dropped, b, c;
	char text[4096];

	assert_int_equal(run_engine(ARGS(SMALL, "--duration", "100ms", "--load", "0", "--verbose",
					 "--learning", "none"),
				    text, sizeof(text)),
			 0);
	counts(text, &served, &recorded, &dropped);
	assert_true(served > 0 && recorded == 0 && dropped == 0);
	assert_int_equal(run_engine(ARGS(SMALL, "--duration", "100ms", "--load", "0", "--verbose",
					 "--learning", "micro"),
				    text, sizeof(text)),
			 0);
	counts(text, &served, &recorded, &dropped);
	assert_true(served > 0 && recorded > 0);
	assert_null(strstr(text, "cycles b"));
	assert_int_equal(run_engine(ARGS(SMALL, "--duration", "300ms", "--load", "0", "--verbose",
					 "--loop-b", "20ms", "--loop-c", "50ms"),
				    text, sizeof(text)),
			 0);
	assert_int_equal(sscanf(strstr(text, "cycles b"), "cycles b %llu c %llu", &b, &c), 2);
	assert_true(b >= 2 && c >= 1);
}

#define STATE(f) "--state", (f), "--loop-b", "10ms", "--loop-c", "25ms", "--load", "0", "--verbose"

static void state_path(const char *folder, const char *file, char *path, size_t size)
{
	assert_true(snprintf(path, size, "%s/%s", folder, file) < (int)size);
}

static void folder_remove(const char *folder)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	assert_int_equal(system(command), 0);
}

static unsigned long long cycles(const char *text)
{
	const char *at = strstr(text, "cycles b ");

	if (!at)
		fail_msg("it said: %s", text);
	return strtoull(at + 9, NULL, 10);
}

static void a_new_run_begins_from_nothing(void **state)
{
	char folder[] = "/tmp/test_engine.XXXXXX", text[4096], path[128];
	unsigned long long first, second;

	assert_non_null(mkdtemp(folder));
	assert_int_equal(run_engine(ARGS(SMALL, STATE(folder), "--duration", "400ms"), text,
				    sizeof(text)),
			 0);
	first = cycles(text);
	assert_true(first >= 1);
	state_path(folder, "learned.state", path, sizeof(path));
	assert_int_equal(access(path, R_OK), 0);
	assert_int_equal(
		run_engine(ARGS(SMALL, STATE(folder), "--duration", "1ms"), text, sizeof(text)), 0);
	second = cycles(text);
	assert_in_range(second, first, first + 2);
	folder_remove(folder);
}

static void damage(const char *path)
{
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "damage", 6, 100), 6);
	close(fd);
}

static void a_damaged_state_is_overwritten(void **state)
{
	char folder[] = "/tmp/test_engine.XXXXXX", text[4096], path[128], kept[128], bytes[106];
	int fd;

	assert_non_null(mkdtemp(folder));
	assert_int_equal(run_engine(ARGS(SMALL, STATE(folder), "--duration", "100ms"), text,
				    sizeof(text)),
			 0);
	state_path(folder, "learned.state", path, sizeof(path));
	state_path(folder, "learned.state.bad-1", kept, sizeof(kept));
	damage(path);
	assert_int_equal(run_engine(ARGS(SMALL, STATE(folder), "--duration", "100ms"), text,
				    sizeof(text)),
			 1);
	assert_non_null(strstr(text, "learned.state is damaged"));
	assert_non_null(strstr(text, "--state-fresh"));
	assert_int_equal(access(kept, F_OK), -1);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_memory_equal(bytes + 100, "damage", 6); /* it was left alone */
	close(fd);
	assert_int_equal(
		run_engine(ARGS(SMALL, STATE(folder), "--duration", "100ms", "--state-fresh"), text,
			   sizeof(text)),
		0);
	assert_non_null(strstr(text, kept));
	fd = open(kept, O_RDONLY);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_memory_equal(bytes + 100, "damage", 6); /* and is kept */
	close(fd);
	assert_int_equal(run_engine(ARGS(SMALL, STATE(folder), "--duration", "10ms"), text,
				    sizeof(text)),
			 0);
	folder_remove(folder);
}

static void two_engines_write_one_state(void **state)
{
	char folder[] = "/tmp/test_engine.XXXXXX", text[4096], other[4096];
	pid_t pid;
	int out;

	assert_non_null(mkdtemp(folder));
	pid = start_engine(ARGS(SMALL, STATE(folder)), &out);
	assert_int_equal(read(out, text, 7), 7);
	assert_int_equal(run_engine(ARGS(SMALL, STATE(folder), "--duration", "10ms"), other,
				    sizeof(other)),
			 1);
	assert_non_null(strstr(other, "another engine"));
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(end_engine(pid, out, text, sizeof(text)), 0);
	folder_remove(folder);
}

/* At whatever moment: while it loads, learns, or writes. */
static void a_kill_leaves_a_state_that_cannot_be_loaded(void **state)
{
	char folder[] = "/tmp/test_engine.XXXXXX", text[4096];
	unsigned long long last = 0, now;

	assert_non_null(mkdtemp(folder));
	for (int round = 0; round < 25; round++) {
		struct timespec nap = {0, (long)(round * 7919 % 60) * 1000000};
		pid_t pid;
		int out;

		pid = start_engine(ARGS(SMALL, STATE(folder)), &out);
		assert_int_equal(read(out, text, 7), 7);
		nanosleep(&nap, NULL);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(end_engine(pid, out, text, sizeof(text)), -SIGKILL);
		if (round % 5 != 4)
			continue;
		if (run_engine(ARGS(SMALL, STATE(folder), "--duration", "1ms"), text, sizeof(text)))
			fail_msg("after a kill: %s", text);
		now = cycles(text);
		assert_true(now >= last); /* it went on from there */
		last = now;
	}
	assert_true(last > 0);
	folder_remove(folder);
}

static void a_state_that_cannot_be_written_is_no_failure(void **state)
{
	char folder[] = "/tmp/test_engine.XXXXXX", text[4096], path[128];

	assert_non_null(mkdtemp(folder));
	state_path(folder, "learned.state.tmp", path, sizeof(path));
	assert_int_equal(mkdir(path, 0700), 0); /* in the way of every save */
	assert_int_equal(run_engine(ARGS(SMALL, STATE(folder), "--duration", "50ms"), text,
				    sizeof(text)),
			 1);
	assert_non_null(strstr(text, "could not be written"));
	folder_remove(folder);
	assert_int_equal(run_engine(ARGS(SMALL, STATE("/proc/no"), "--duration", "50ms"), text,
				    sizeof(text)),
			 1);
	assert_non_null(strstr(text, "--state /proc/no"));
}

static void it_outlives_its_parent(void **state)
{
	int fds[2], out, status;
	char text[4096];
	pid_t middle;
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	middle = fork();
	assert_true(middle >= 0);
	if (!middle) {
		/* Only the engine keeps the other end of the outer pipe; it is closed at its end.
		 */
		close(fds[0]);
		start_engine(ARGS(SMALL, "--die-with-parent", "--verbose"), &out);
		n = read(out, text, 7);
		_exit(n == 7 ? 0 : 1);
	}
	close(fds[1]);
	assert_int_equal(waitpid(middle, &status, 0), middle);
	assert_int_equal(status, 0);
	assert_int_equal(read(fds[0], text, 1), 0); /* end of file: the engine is gone */
	close(fds[0]);
}

enum { READERS = 3, DIM = 37, ROUNDS = 20000 };

struct share {
	struct lora_shared shared;
	uint64_t stop;
	uint64_t torn;
};

struct share_reader {
	struct share *share;
	uint32_t index;
};

/* Every weight of one copy has the same value, so a copy that changes under a reader is seen. */
static void *read_weights(void *arg)
{
	struct share_reader *r = arg;
	struct share *s = r->share;
	float last = 0;

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		const struct lora *l = lora_shared_acquire(&s->shared, r->index);
		float first = l->a[0];
		int bad = first < last; /* newer never goes back to older */

		for (int i = 0; i < DIM; i++)
			bad |= l->a[i] != first || l->b[i] != first;
		lora_shared_release(&s->shared, r->index);
		last = first;
		if (bad)
			__atomic_fetch_add(&s->torn, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void weights_change_while_a_worker_reads_them(void **state)
{
	size_t bytes = (lora_shared_bytes(READERS, DIM, DIM, 1) + 63) / 64 * 64;
	float a[DIM] = {0}, b[DIM] = {0};
	struct lora from = {DIM, DIM, 1, 1, a, b};
	struct share_reader reader[READERS];
	struct share s = {.stop = 0};
	pthread_t thread[READERS];
	void *storage = aligned_alloc(64, bytes);

	assert_non_null(storage);
	assert_int_equal(lora_shared_init(&s.shared, READERS, &from, storage, 8), -EINVAL);
	assert_int_equal(lora_shared_init(&s.shared, READERS, &from, storage, bytes), 0);
	for (uint32_t i = 0; i < READERS; i++) {
		reader[i] = (struct share_reader){&s, i};
		assert_int_equal(pthread_create(&thread[i], NULL, read_weights, &reader[i]), 0);
	}
	for (int round = 1; round <= ROUNDS; round++) {
		struct lora *l = lora_shared_begin(&s.shared);

		assert_non_null(l);
		assert_true(l->a[0] == (float)(round - 1) && l->b[DIM - 1] == l->a[0]);
		for (int i = 0; i < DIM; i++)
			l->a[i] = l->b[i] = (float)round;
		lora_shared_publish(&s.shared);
	}
	__atomic_store_n(&s.stop, 1, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(s.torn, 0);
	free(storage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_options_are_accepted_or_crash),
		cmocka_unit_test(it_does_not_end_when_its_duration_does),
		cmocka_unit_test(a_full_buffer_stops_it),
		cmocka_unit_test(a_signal_does_not_end_it),
		cmocka_unit_test(learning_is_not_what_was_asked_for),
		cmocka_unit_test(a_new_run_begins_from_nothing),
		cmocka_unit_test(a_damaged_state_is_overwritten),
		cmocka_unit_test(two_engines_write_one_state),
		cmocka_unit_test(a_kill_leaves_a_state_that_cannot_be_loaded),
		cmocka_unit_test(a_state_that_cannot_be_written_is_no_failure),
		cmocka_unit_test(it_outlives_its_parent),
		cmocka_unit_test(weights_change_while_a_worker_reads_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
