/* SPDX-License-Identifier: Apache-2.0 */
/* test_blocked_names.c: locks, call sites and sockets are called what their program calls them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "collectors/lock_name.h"
#include "collectors/locks.h"
#include "collectors/socket_names.h"
#include "collectors/threads.h"
#include "collectors/told_locks.h"
#include "collectors/wait_site.h"

#define LIBC "libc.so.6"

/* Frames "function" or "function module", leaf first, up to NULL. */
static struct wait_site site_of(const char *const *frames, const char **site, const char **via)
{
	struct symbol s[16] = {0};
	struct wait_site out;
	uint32_t n = 0;

	for (; frames[2 * n]; n++)
		s[n] = (struct symbol){.name = frames[2 * n], .module = frames[2 * n + 1]};
	wait_site_find(s, n, &out);
	*site = out.site < n ? s[out.site].name : "";
	*via = out.via < n ? s[out.via].name : "";
	return out;
}

static void assert_site(const char *const *frames, const char *kind, const char *site,
			const char *via)
{
	const char *got_site, *got_via;
	struct wait_site got = site_of(frames, &got_site, &got_via);

	assert_string_equal(got.kind, kind);
	assert_string_equal(got_site, site);
	assert_string_equal(got_via, via);
}

static void a_mutex_is_named_by_the_function_that_locks_it(void **state)
{
	(void)state;
	assert_site((const char *const[]){"__lll_lock_wait", LIBC,
					  "pthread_mutex_lock@@GLIBC_2.2.5", LIBC, "cache_get",
					  "app", "main", "app", NULL},
		    "mutex", "cache_get", "");
	/* Static: everything lies in one file. */
	assert_site((const char *const[]){"__lll_lock_wait", "app", "__pthread_mutex_lock", "app",
					  "cache_get", "app", NULL},
		    "mutex", "cache_get", "");
	/* Through C++'s library. */
	assert_site((const char *const[]){"__futex_abstimed_wait_common", LIBC,
					  "pthread_cond_wait@@GLIBC_2.3.2", LIBC,
					  "std::condition_variable::wait", "libstdc++.so.6.0.30",
					  "Pool::run", "app", NULL},
		    "condvar", "Pool::run", "");
}

static void pythons_gil_is_told_from_the_mutex_that_guards_it(void **state)
{
	const char *site, *via;

	(void)state;
	assert_site((const char *const[]){"__futex_abstimed_wait_common", LIBC,
					  "pthread_cond_timedwait@@GLIBC_2.3.2", LIBC, "take_gil",
					  "python3.11", "_PyEval_EvalFrameDefault", "python3.11",
					  NULL},
		    "GIL", "_PyEval_EvalFrameDefault", "take_gil");
	assert_true(site_of((const char *const[]){"pthread_cond_timedwait", LIBC, "take_gil",
						  "python3.11", NULL},
			    &site, &via)
			    .condvar);
	assert_site((const char *const[]){"__lll_lock_wait", LIBC, "__pthread_mutex_cond_lock",
					  LIBC, "pthread_cond_timedwait@@GLIBC_2.3.2", LIBC,
					  "take_gil", "python3.11", "PyEval_RestoreThread",
					  "python3.11", NULL},
		    "mutex", "PyEval_RestoreThread", "take_gil");
	/* Stripped, as distributions have it. */
	assert_site((const char *const[]){"__futex_abstimed_wait_common", LIBC,
					  "pthread_cond_timedwait@@GLIBC_2.3.2", LIBC,
					  "fn@0x4f92c0", "python3.11", "_PyEval_EvalFrameDefault",
					  "python3.11", NULL},
		    "GIL", "_PyEval_EvalFrameDefault", "");
	/* An extension's own condition variable, and a semaphore of Python's. */
	assert_site((const char *const[]){"pthread_cond_wait", LIBC, "fn@0x1234", "_queue.so",
					  "_PyEval_EvalFrameDefault", "python3.11", NULL},
		    "condvar", "fn@0x1234", "");
	assert_site((const char *const[]){"__new_sem_wait_slow64.constprop.0", LIBC,
					  "PyThread_acquire_lock_timed", "python3.11",
					  "fn@0x5897a0", "python3.11", NULL},
		    "py lock", "fn@0x5897a0", "PyThread_acquire_lock_timed");
	assert_true(wait_site_is_lock("GIL"));
	assert_false(wait_site_is_lock("condvar"));
}

static void rubys_lock_is_told_from_its_other_waits(void **state)
{
	(void)state;
	assert_site((const char *const[]){"pthread_cond_timedwait", LIBC, "fn@0x20a240",
					  "libruby-3.1.so.3.1.2", "fn@0x210fd0",
					  "libruby-3.1.so.3.1.2", "rb_threadptr_execute_interrupts",
					  "libruby-3.1.so.3.1.2", "fn@0x24ebd0",
					  "libruby-3.1.so.3.1.2", "rb_vm_exec",
					  "libruby-3.1.so.3.1.2", NULL},
		    "GVL", "rb_vm_exec", "rb_threadptr_execute_interrupts");
	assert_site((const char *const[]){"pthread_cond_wait", LIBC, "rb_native_cond_wait",
					  "libruby-3.1.so.3.1.2", "fn@0x20fd80",
					  "libruby-3.1.so.3.1.2", "rb_thread_sleep_forever",
					  "libruby-3.1.so.3.1.2", NULL},
		    "condvar", "fn@0x20fd80", "rb_native_cond_wait");
	assert_true(wait_site_is_lock("GVL"));
}

static void a_team_of_openmp_is_no_lock_but_where_it_has_one(void **state)
{
	(void)state;
	assert_site((const char *const[]){"fn@0x1f780", "libgomp.so.1.0.0", "main._omp_fn.0", "app",
					  NULL},
		    "barrier", "main._omp_fn.0", "fn@0x1f780");
	assert_site((const char *const[]){"fn@0x1f5e0", "libgomp.so.1.0.0", "GOMP_critical_start",
					  "libgomp.so.1.0.0", "add_up", "app", NULL},
		    "mutex", "add_up", "GOMP_critical_start");
	assert_false(wait_site_is_lock("barrier") || wait_site_may_be_lock("barrier"));
}

static void hotspots_own_locks_are_those_of_who_takes_them(void **state)
{
	(void)state;
	assert_site((const char *const[]){"__lll_lock_wait", LIBC, "pthread_mutex_lock", LIBC,
					  "Mutex::lock_contended", "libjvm.so", "Mutex::lock",
					  "libjvm.so", "G1CollectedHeap::attempt_allocation_slow",
					  "libjvm.so", NULL},
		    "mutex", "G1CollectedHeap::attempt_allocation_slow", "Mutex::lock");
}

static void inlined_guards_are_passed_on_the_way_to_the_program(void **state)
{
	(void)state;
	assert_true(
		wait_site_is_inlined_library("std::lock_guard<std::mutex>::lock_guard (inlined)"));
	assert_true(wait_site_is_inlined_library("__gthread_mutex_lock (inlined)"));
	assert_true(wait_site_is_inlined_library("<std::sync::Mutex<T>>::lock (inlined)"));
	assert_false(wait_site_is_inlined_library("update_registry (inlined)"));
	assert_false(wait_site_is_inlined_library("std::thread::_Invoker::operator()"));
}

static void a_semaphore_of_postgres_is_the_lock_it_serves(void **state)
{
	(void)state;
	assert_site((const char *const[]){"__futex_abstimed_wait_common", LIBC,
					  "__new_sem_wait_slow64.constprop.0", LIBC,
					  "PGSemaphoreLock", "postgres", "LWLockAcquireOrWait",
					  "postgres", "XLogFlush", "postgres", NULL},
		    "LWLock", "XLogFlush", "LWLockAcquireOrWait");
}

static void locks_of_java_and_rust_are_taken_for_waits_of_the_idle(void **state)
{
	(void)state;
	assert_site((const char *const[]){"__futex_abstimed_wait_common", LIBC,
					  "pthread_cond_timedwait@@GLIBC_2.3.2", LIBC,
					  "os::PlatformEvent::park", "libjvm.so",
					  "ObjectMonitor::EnterI", "libjvm.so",
					  "ObjectMonitor::enter", "libjvm.so",
					  "InterpreterRuntime::monitorenter", "libjvm.so",
					  "LCache;::get", "[jit]", NULL},
		    "java monitor", "LCache;::get", "InterpreterRuntime::monitorenter");
	assert_true(wait_site_is_lock("java monitor"));
	/* Object.wait() waits to be told. */
	assert_site((const char *const[]){"pthread_cond_wait@@GLIBC_2.3.2", LIBC,
					  "os::PlatformEvent::park", "libjvm.so",
					  "ObjectMonitor::wait", "libjvm.so", "LQueue;::take",
					  "[jit]", NULL},
		    "java wait", "LQueue;::take", "ObjectMonitor::wait");
	assert_false(wait_site_is_lock("java wait"));
	assert_site((const char *const[]){"syscall", LIBC,
					  "<std::sys::sync::mutex::futex::Mutex>::lock_contended",
					  "app", "app::update", "app", NULL},
		    "rust mutex", "app::update",
		    "<std::sys::sync::mutex::futex::Mutex>::lock_contended");
	assert_true(wait_site_is_lock("rust mutex"));
	assert_site((const char *const[]){"syscall", LIBC, "std::sys::pal::unix::futex::futex_wait",
					  "app",
					  "std::sys::sync::rwlock::futex::RwLock::write_contended",
					  "app", "std::sync::poison::rwlock::RwLock<T>::write",
					  "app", "app::insert", "app", NULL},
		    "rust rwlock", "app::insert", "std::sync::poison::rwlock::RwLock<T>::write");
	assert_site(
		(const char *const[]){
			"syscall", LIBC,
			"std::sys::sync::condvar::futex::Condvar::wait_optional_timeout", "app",
			"app::worker", "app", NULL},
		"condvar", "app::worker",
		"std::sys::sync::condvar::futex::Condvar::wait_optional_timeout");
}

static void assert_told(const char *const *names, uint32_t reason, const char *kind,
			const char *site, const char *via)
{
	struct symbol frames[12] = {{0}};
	struct wait_site out;
	uint32_t n = 0;

	for (; names[2 * n]; n++) {
		frames[n].name = names[2 * n];
		frames[n].module = names[2 * n + 1];
	}
	if (!kind) {
		assert_false(wait_site_find_told(frames, n, reason, &out));
		return;
	}
	assert_true(wait_site_find_told(frames, n, reason, &out));
	assert_string_equal(out.kind, kind);
	assert_true(wait_site_is_lock(out.kind));
	assert_string_equal(frames[out.site].name, site);
	assert_string_equal(frames[out.via].name, via);
}

/* As their stacks look in stripped programs of a distribution. */
static void a_databases_locks_are_taken_for_network_and_sleep(void **state)
{
	const char *const row[] = {"epoll_wait",
				   LIBC,
				   "WaitEventSetWait",
				   "postgres",
				   "WaitLatch",
				   "postgres",
				   "ProcSleep",
				   "postgres",
				   "fn@0x45d8a0",
				   "postgres",
				   "LockAcquireExtended",
				   "postgres",
				   "XactLockTableWait",
				   "postgres",
				   "fn@0x19e8b0",
				   "postgres",
				   "heap_update",
				   "postgres",
				   "standard_ExecutorRun",
				   "postgres",
				   NULL};
	const char *const idle[] = {"epoll_wait", LIBC,		 "WaitEventSetWait",
				    "postgres",	  "secure_read", "postgres",
				    "pq_getbyte", "postgres",	 NULL};
	const char *const sqlite[] = {"clock_nanosleep",
				      LIBC,
				      "usleep",
				      LIBC,
				      "fn@0xaa150",
				      "libsqlite3.so.0.8.6",
				      "sqlite3InvokeBusyHandler",
				      "libsqlite3.so.0.8.6",
				      "sqlite3_step",
				      "libsqlite3.so.0.8.6",
				      "insert_row",
				      "app",
				      NULL};
	const char *const sleeps[] = {"clock_nanosleep", LIBC,	"usleep", LIBC,
				      "poll_queue",	 "app", NULL};
	const char *const file[] = {"flock", LIBC, "lock_index", "git", NULL};
	const char *const fcntl[] = {"__libc_fcntl64", LIBC, "lock_pid_file", "daemon", NULL};

	assert_told(row, BLOCKED_NET, "pg lock", "heap_update", "XactLockTableWait");
	assert_told(idle, BLOCKED_NET, NULL, NULL, NULL);
	assert_told(sqlite, BLOCKED_SLEEP, "sqlite lock", "insert_row", "sqlite3_step");
	assert_told(sleeps, BLOCKED_SLEEP, NULL, NULL, NULL);
	assert_told(file, BLOCKED_OTHER, "file lock", "lock_index", "flock");
	assert_told(fcntl, BLOCKED_OTHER, "file lock", "lock_pid_file", "__libc_fcntl64");
	/* On its way to the disk it waits for that. */
	assert_told(file, BLOCKED_IO, NULL, NULL, NULL);
	/* MySQL's and MariaDB's on tables. */
	assert_site((const char *const[]){"pthread_cond_timedwait", LIBC, "MDL_wait::timed_wait",
					  "mariadbd", "MDL_context::acquire_lock", "mariadbd",
					  "open_table", "mariadbd", NULL},
		    "mdl lock", "open_table", "MDL_context::acquire_lock");
}

/* MariaDB of Debian, whose storage engine has no names; and the same with them. */
static void a_row_lock_of_innodb_is_taken_for_an_idle_wait(void **state)
{
	static const char mariadb[] = "mariadbd", timed[] = "pthread_cond_timedwait@@GLIBC_2.3.2";

	(void)state;
	assert_site((const char *const[]){"__futex_abstimed_wait_common", LIBC, timed, LIBC,
					  "fn@0xd5ad50", mariadb, "fn@0xdb63c0", mariadb,
					  "handler::ha_index_read_map", mariadb,
					  "handler::read_range_first", mariadb, "fn@0x76cde0",
					  mariadb, "mysql_update", mariadb, "mysql_execute_command",
					  mariadb, NULL},
		    "innodb lock", "mysql_update", "handler::ha_index_read_map");
	assert_site((const char *const[]){timed, LIBC, "lock_wait", mariadb,
					  "row_mysql_handle_errors", mariadb,
					  "ha_innobase::write_row", mariadb,
					  "handler::ha_write_row", mariadb, "mysql_execute_command",
					  mariadb, NULL},
		    "innodb lock", "handler::ha_write_row", "handler::ha_write_row");
	/* Without a limit it waits for a page; outside of a call of the engine it is idle. */
	assert_site((const char *const[]){"pthread_cond_wait", LIBC, "fn@0xd5ad50", mariadb,
					  "handler::ha_write_row", mariadb, NULL},
		    "condvar", "fn@0xd5ad50", "");
	assert_site((const char *const[]){timed, LIBC, "fn@0xc1f4e0", mariadb, "start_thread", LIBC,
					  NULL},
		    "condvar", "fn@0xc1f4e0", "");
	assert_site((const char *const[]){timed, LIBC, "fn@0xc1f4e0", "app", "handler::ha_run",
					  "app", NULL},
		    "condvar", "fn@0xc1f4e0", "");
}

static void who_holds_a_file_lock_is_misread(void **state)
{
	static const char text[] = "1: POSIX  ADVISORY  READ 2231 fe:00:31 1073741826 1073742335\n"
				   "2: FLOCK  ADVISORY  WRITE 11790 fe:00:10963336 0 EOF\n"
				   "2: -> FLOCK  ADVISORY  WRITE 11823 fe:00:10963336 0 EOF\n"
				   "2: -> FLOCK  ADVISORY  WRITE 11824 fe:00:10963336 0 EOF\n"
				   "3: OFDLCK ADVISORY  WRITE -1 fe:00:77 0 EOF\n"
				   "3: -> OFDLCK ADVISORY  WRITE 400 fe:00:77 0 EOF\n";
	uint64_t inode = 0;

	assert_int_equal(told_locks_holder(text, 11824, &inode), 11790);
	assert_int_equal(inode, 10963336);
	assert_int_equal(told_locks_holder(text, 400, &inode), 0); /* nobody in particular */
	assert_int_equal(inode, 77);
	inode = 0;
	assert_int_equal(told_locks_holder(text, 2231, &inode),
			 0); /* it holds one, and waits for none */
	assert_int_equal(inode, 0);
	assert_int_equal(told_locks_holder("", 1, &inode), 0);
}

static void a_stack_without_names_says_futex(void **state)
{
	(void)state;
	assert_site((const char *const[]){"[unknown]", "", NULL}, "futex", "[unknown]", "");
	assert_site((const char *const[]){NULL, NULL}, "futex", "", "");
	assert_site((const char *const[]){"syscall", LIBC, "my_wait", "app", NULL}, "futex",
		    "my_wait", "");
}

struct pair {
	long first;
	pthread_mutex_t second;
};
static struct pair planted_pair;
static pthread_mutex_t planted_lock = PTHREAD_MUTEX_INITIALIZER;

static void a_lock_is_called_what_its_variable_is(void **state)
{
	struct symbols *syms = symbols_new(getpid());
	struct threads none = {.n = 0};
	pthread_mutex_t *on_heap = malloc(sizeof(*on_heap)), on_stack;
	char name[SNAP_NAME], want[64];

	(void)state;
	assert_non_null(syms);
	assert_int_equal(symbols_refresh(syms), 0);
	lock_name_find(syms, getpid(), &none, (uintptr_t)&planted_lock, name, sizeof(name));
	assert_string_equal(name, "planted_lock");
	lock_name_find(syms, getpid(), &none, (uintptr_t)&planted_pair.second, name, sizeof(name));
	snprintf(want, sizeof(want), "planted_pair+%zu", offsetof(struct pair, second));
	assert_string_equal(name, want);
	lock_name_find(syms, getpid(), &none, (uintptr_t)on_heap, name, sizeof(name));
	assert_string_equal(name, "heap");
	lock_name_find(syms, getpid(), &none, (uintptr_t)&on_stack, name, sizeof(name));
	assert_string_equal(name, "stack of the first thread");
	lock_name_find(syms, getpid(), &none, 8, name, sizeof(name));
	assert_string_equal(name, "");
	free(on_heap);
	symbols_free(syms);
}

static void assert_socket(const char *protocol, const char *line, uint64_t inode, const char *want)
{
	char name[SNAP_NAME] = "";
	uint64_t got = 0;

	assert_true(socket_names_parse(protocol, line, &got, name, sizeof(name)));
	assert_int_equal(got, inode);
	assert_string_equal(name, want);
}

static void sockets_are_named_by_both_their_ends(void **state)
{
	char name[SNAP_NAME];
	uint64_t inode;

	(void)state;
	assert_socket("tcp",
		      "   0: 0100007F:18EB 0200000A:A042 01 00000000:00000000 00:00000000 00000000 "
		      "    0        0 31337 1 0000000000000000 20 4 30 10 -1",
		      31337, "tcp 127.0.0.1:6379 10.0.0.2:41026");
	assert_socket("tcp",
		      "   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 "
		      "    0        0 7 1 0000000000000000 100 0 0 10 0",
		      7, "tcp *:80 listening");
	assert_socket("tcp6",
		      "   0: 0000000000000000FFFF00000100007F:1F90 "
		      "00000000000000000000000001000000:A042 01 00000000:00000000 00:00000000 "
		      "00000000     0        0 9 1 0000000000000000 20 4 30 10 -1",
		      9, "tcp 127.0.0.1:8080 [::1]:41026");
	assert_socket("unix", "0000000000000000: 00000002 00000000 00010000 0001 01 4242 /run/x y",
		      4242, "unix /run/x y listening");
	assert_socket("unix", "0000000000000000: 00000003 00000000 00000000 0001 03 99", 99,
		      "unix unnamed");
	assert_false(socket_names_parse("tcp", "  sl  local_address rem_address   st", &inode, name,
					sizeof(name)));
	assert_false(socket_names_parse("tcp6", "   0: 0100007F:18EB 0200000A:A042 01 0:0", &inode,
					name, sizeof(name)));
	assert_false(socket_names_parse("unix", "Num       RefCount Protocol Flags", &inode, name,
					sizeof(name)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mutex_is_named_by_the_function_that_locks_it),
		cmocka_unit_test(pythons_gil_is_told_from_the_mutex_that_guards_it),
		cmocka_unit_test(rubys_lock_is_told_from_its_other_waits),
		cmocka_unit_test(a_team_of_openmp_is_no_lock_but_where_it_has_one),
		cmocka_unit_test(hotspots_own_locks_are_those_of_who_takes_them),
		cmocka_unit_test(inlined_guards_are_passed_on_the_way_to_the_program),
		cmocka_unit_test(a_semaphore_of_postgres_is_the_lock_it_serves),
		cmocka_unit_test(locks_of_java_and_rust_are_taken_for_waits_of_the_idle),
		cmocka_unit_test(a_databases_locks_are_taken_for_network_and_sleep),
		cmocka_unit_test(who_holds_a_file_lock_is_misread),
		cmocka_unit_test(a_row_lock_of_innodb_is_taken_for_an_idle_wait),
		cmocka_unit_test(a_stack_without_names_says_futex),
		cmocka_unit_test(a_lock_is_called_what_its_variable_is),
		cmocka_unit_test(sockets_are_named_by_both_their_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
