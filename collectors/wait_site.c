/* SPDX-License-Identifier: Apache-2.0 */
/* wait_site.c: what kind of lock a stack waits for, and which function of the program waits. */
#include "collectors/wait_site.h"

#include <stdbool.h>
#include <string.h>

#include "collectors/name_words.h"
#include "collectors/snapshot.h"

/* Functions of thread libraries by how their names begin, leading underscores left out. */
static const struct {
	const char *prefix, *kind; /* kind NULL: goes on to the next frame */
} primitives[] = {
	{"pthread_mutex_", "mutex"},
	{"mtx_", "mutex"},
	{"pthread_rwlock_", "rwlock"},
	{"pthread_cond_", "condvar"},
	{"cnd_", "condvar"},
	{"pthread_barrier_", "barrier"},
	{"pthread_join", "join"},
	{"pthread_timedjoin", "join"},
	{"pthread_clockjoin", "join"},
	{"thrd_join", "join"},
	{"pthread_once", "once"},
	{"sem_wait", "sem"},
	{"sem_timedwait", "sem"},
	{"sem_clockwait", "sem"},
	{"new_sem_wait", "sem"},
	{"pthread_", NULL},
	{"lll_lock_", NULL},
	{"futex_", NULL},
	{"syscall", NULL},
};

/* Allocators and streams of libc have locks of their own. */
static const struct {
	const char *prefix, *kind;
} inside_libc[] = {
	{"libc_malloc", "malloc"}, {"malloc", "malloc"},   {"libc_free", "malloc"},
	{"cfree", "malloc"},	   {"free", "malloc"},	   {"calloc", "malloc"},
	{"realloc", "malloc"},	   {"int_free", "malloc"}, {"int_malloc", "malloc"},
	{"IO_", "stdio"},	   {"fflush", "stdio"},	   {"fwrite", "stdio"},
	{"printf", "stdio"},	   {"vfprintf", "stdio"},  {"puts", "stdio"},
	{"fork", "fork"},	   {"dl_", "loader"},
};

/* Locks that others are built of: who called them is the place that matters. */
static const struct {
	const char *name, *kind; /* kind NULL: as the primitive below says */
} wrappers[] = {
	{"take_gil", "GIL"},
	{"PyThread_acquire_lock_timed", "py lock"},
	{"PGSemaphoreLock", NULL},
	{"LWLockAcquire", "LWLock"},
	{"LWLockAcquireOrWait", "LWLock"},
	{"LWLockWaitForVar", "LWLock"},
	{"uv_mutex_lock", NULL},
	{"uv_cond_wait", NULL},
	{"uv_cond_timedwait", NULL},
	{"uv_sem_wait", NULL},
	{"uv_thread_join", NULL},
	{"MDL_wait::timed_wait", "mdl lock"}, /* MySQL's and MariaDB's, on tables */
	{"MDL_context::acquire_lock", "mdl lock"},
	{"MDL_context::acquire_locks", "mdl lock"},
	{"MDL_context::upgrade_shared_lock", "mdl lock"},
	{"g_mutex_lock_slowpath", "g mutex"},
	{"g_cond_wait", "condvar"},
	{"runtime.futex", "go park"},
	{"runtime.futexsleep", "go park"},
	{"runtime.futexsleep.abi0", "go park"},
	{"runtime.futex.abi0", "go park"},
	{"runtime.notesleep", "go park"},
	{"runtime.notetsleep_internal", "go park"},
	{"runtime.mPark", "go park"},
	{"runtime.lock2", "go mutex"},
	/* HotSpot: `synchronized` that is contended, Object.wait(), LockSupport.park(). */
	{"os::PlatformEvent::park", NULL},
	{"ObjectMonitor::EnterI", "java monitor"},
	{"ObjectMonitor::ReenterI", "java monitor"},
	{"ObjectMonitor::enter", "java monitor"},
	{"ObjectSynchronizer::enter", "java monitor"},
	{"ObjectSynchronizer::jni_enter", "java monitor"},
	{"InterpreterRuntime::monitorenter", "java monitor"},
	{"SharedRuntime::monitor_enter_helper", "java monitor"},
	{"SharedRuntime::complete_monitor_locking_C", "java monitor"},
	{"ObjectMonitor::wait", "java wait"},
	{"ObjectSynchronizer::wait", "java wait"},
	{"JVM_MonitorWait", "java wait"},
	/* Its own locks and conditions, beneath those and for itself. */
	{"os::PlatformMonitor::wait", NULL},
	{"Mutex::lock_contended", NULL},
	{"Mutex::lock", NULL},
	{"Mutex::lock_without_safepoint_check", NULL},
	{"Monitor::wait", NULL},
	{"Monitor::wait_without_safepoint_check", NULL},
	{"rb_native_mutex_lock", NULL},
	{"rb_native_cond_wait", NULL},
	{"rb_native_cond_timedwait", NULL},
	{"Parker::park", "java park"},
	{"Unsafe_Park", "java park"},
};

/* Rust's own, and those of parking_lot: by parts of names, which its versions write differently. */
static const char *const rust_paths[] = {
	"std::sync::",	     "std::sys::sync::",   "std::sys::pal::",	"std::sys::unix::",
	"std::sys_common::", "std::sys::thread::", "std::thread::park", "parking_lot"};
static const struct {
	const char *part, *kind;
} rust_locks[] = {
	{"::lock_contended", "rust mutex"},
	{"RawMutex::lock_slow", "rust mutex"},
	{"::read_contended", "rust rwlock"},
	{"::write_contended", "rust rwlock"},
	{"RawRwLock::lock_", "rust rwlock"},
	{"ondvar", "condvar"},
	{"::thread_parking::", "rust park"},
	{"::park", "rust park"},
	{"nce::call", "once"},
};

static bool is_thread_library(const char *module)
{
	return name_begins(module, "libc.so") || name_begins(module, "libc-2") ||
	       name_begins(module, "libpthread") || name_begins(module, "ld-linux") ||
	       name_begins(module, "ld-musl") || name_begins(module, "libstdc++") ||
	       name_begins(module, "libc++") || !strcmp(module, "[vdso]");
}

/* "__GI___pthread_mutex_lock" to "pthread_mutex_lock". */
static const char *plain(const char *name)
{
	for (;;) {
		if (*name == '_')
			name++;
		else if (name_begins(name, "GI_"))
			name += 3;
		else
			return name;
	}
}

/* A function of a thread library; where its name tells the kind, that goes to *kind. */
static bool is_primitive(const struct symbol *f, const char **kind)
{
	const char *name = plain(f->name);

	for (size_t i = 0; i < sizeof(primitives) / sizeof(primitives[0]); i++)
		if (name_begins(name, primitives[i].prefix)) {
			if (!*kind)
				*kind = primitives[i].kind;
			return true;
		}
	if (!is_thread_library(f->module))
		return false;
	for (size_t i = 0; i < sizeof(inside_libc) / sizeof(inside_libc[0]) && !*kind; i++)
		if (name_begins(name, inside_libc[i].prefix))
			*kind = inside_libc[i].kind;
	return true;
}

static bool is_rust_lock(const char *name, const char **kind)
{
	bool rust = false;

	for (size_t i = 0; i < sizeof(rust_paths) / sizeof(rust_paths[0]) && !rust; i++)
		rust = strstr(name, rust_paths[i]);
	for (size_t i = 0; rust && i < sizeof(rust_locks) / sizeof(rust_locks[0]) && !*kind; i++)
		if (strstr(name, rust_locks[i].part))
			*kind = rust_locks[i].kind;
	return rust;
}

/*
 * CPython waits on condition variables for the GIL and nothing else: its other locks are
 * semaphores. A stripped one has no name for take_gil() and what it was inlined into.
 */
static bool is_unnamed_gil(const struct symbol *f, const char **kind)
{
	if (!name_is_made_up(f->name) ||
	    (!name_begins(f->module, "python") && !name_begins(f->module, "libpython")) || !*kind ||
	    (strcmp(*kind, "condvar") != 0 && strcmp(*kind, "GIL") != 0))
		return false;
	*kind = "GIL";
	return true;
}

static bool is_wrapper(const struct symbol *f, const char **kind)
{
	for (size_t i = 0; i < sizeof(wrappers) / sizeof(wrappers[0]); i++)
		if (!strcmp(f->name, wrappers[i].name)) {
			/* A mutex that guards the lock is not the lock itself. */
			if (wrappers[i].kind && (!*kind || strcmp(*kind, "mutex") != 0))
				*kind = wrappers[i].kind;
			return true;
		}
	return is_unnamed_gil(f, kind) || is_rust_lock(f->name, kind);
}

/*
 * Ruby's threads wait for the interpreter each on a condition variable of its own: who gives it up
 * to others does so where interrupts are looked for, and has no name below that.
 */
static bool find_gvl(const struct symbol *frames, uint32_t n, uint32_t i, struct wait_site *out)
{
	static const char *const asks[] = {"rb_threadptr_execute_interrupts", "rb_thread_schedule",
					   "gvl_acquire", "gvl_acquire_common", "gvl_yield"};
	uint32_t at = i;

	while (at < n && name_begins(frames[at].module, "libruby") &&
	       (name_is_made_up(frames[at].name) || name_begins(frames[at].name, "rb_native_")))
		at++;
	if (at >= n || !NAME_IN(frames[at].name, asks))
		return false;
	out->kind = "GVL";
	out->via = at;
	while (++at < n && (name_is_made_up(frames[at].name) || NAME_IN(frames[at].name, asks)))
		;
	out->site = at < n ? at : out->via;
	return true;
}

/* OpenMP's threads wait for each other, but for what it has as locks. */
static bool find_team(const struct symbol *frames, uint32_t n, uint32_t i, struct wait_site *out)
{
	static const char *const modules[] = {"libgomp.so", "libomp.so", "libiomp5.so"};
	static const char *const locks[] = {"GOMP_critical", "GOMP_atomic",	"GOMP_ordered",
					    "omp_set_",	     "__kmpc_critical", "__kmpc_ordered"};
	uint32_t at = i;

	out->kind = "barrier";
	for (; at < n && NAME_BEGINS_IN(frames[at].module, modules); at++)
		if (NAME_BEGINS_IN(frames[at].name, locks))
			out->kind = "mutex";
	if (at == i)
		return false;
	out->via = at - 1;
	/* A worker between two tasks has nothing of the program around it. */
	out->site = at < n && !is_primitive(&frames[at], &(const char *){NULL}) ? at : at - 1;
	return true;
}

/* The statement that a thread of MariaDB carries out: mysql_update, mysql_insert… */
static uint32_t statement_of(const struct symbol *frames, uint32_t n, uint32_t i)
{
	static const char *const around[] = {"mysql_execute_command", "mysql_parse",
					     "mysql_make_view"};

	for (; i < n; i++)
		if (name_begins(frames[i].name, "mysql_") && !NAME_IN(frames[i].name, around))
			return i;
	return n;
}

/*
 * InnoDB's locks on rows and tables, which frames[i] waits for on a condition variable. As packages
 * have it, MariaDB's own functions have no names but for those that plugins may call: there it is
 * told by a wait with a limit to it, innodb_lock_wait_timeout, within a call of the storage engine;
 * its other waits in such calls have none.
 */
static bool find_innodb_lock(const struct symbol *frames, uint32_t n, uint32_t i,
			     struct wait_site *out)
{
	uint32_t at = i, statement;
	bool named;

	/* By its older name it is started too. */
	if (!i || i >= n ||
	    (strcmp(frames[i].module, "mariadbd") != 0 && strcmp(frames[i].module, "mysqld") != 0))
		return false;
	named = !strcmp(frames[i].name, "lock_wait");
	if (!named && !name_begins(plain(frames[i - 1].name), "pthread_cond_timedwait"))
		return false;
	while (at < n && (named ? !name_begins(frames[at].name, "handler::")
				: name_is_made_up(frames[at].name)))
		at++;
	if (at == i || at == n || !name_begins(frames[at].name, "handler::"))
		return false;
	statement = statement_of(frames, n, at);
	out->kind = "innodb lock";
	out->via = at;
	out->site = statement < n ? statement : at;
	return true;
}

void wait_site_find(const struct symbol *frames, uint32_t n, struct wait_site *out)
{
	const char *kind = NULL;
	uint32_t i = 0;

	*out = (struct wait_site){.site = UINT32_MAX, .via = UINT32_MAX};
	while (i < n && is_primitive(&frames[i], &kind))
		i++;
	out->condvar = kind && !strcmp(kind, "condvar");
	if (out->condvar && find_innodb_lock(frames, n, i, out))
		return;
	if ((out->condvar && find_gvl(frames, n, i, out)) || find_team(frames, n, i, out))
		return;
	for (; i < n && is_wrapper(&frames[i], &kind); i++)
		if (!name_is_made_up(frames[i].name))
			out->via = i;
	if (i < n)
		out->site = i;
	out->kind = kind ? kind : "futex";
}

/* PostgreSQL: a row, a table or another transaction; below it, what asks for one. */
static const char *const pg_lock[] = {"WaitOnLock",	   "LockAcquireExtended",
				      "LockAcquire",	   "XactLockTableWait",
				      "LockTuple",	   "SpeculativeInsertionWait",
				      "LockRelationOid",   "VirtualXactLock",
				      "heapam_tuple_lock", "heap_acquire_tuplock"};

static bool find_pg_lock(const struct symbol *frames, uint32_t n, struct wait_site *out)
{
	uint32_t i = 0, last;

	while (i < n && i < 6 && strcmp(frames[i].name, "ProcSleep") != 0)
		i++;
	if (i == n || i == 6)
		return false;
	/* Static functions of a stripped program have no names: "fn@…". */
	for (last = i++;
	     i < n && (name_is_made_up(frames[i].name) || NAME_IN(frames[i].name, pg_lock)); i++)
		if (!name_is_made_up(frames[i].name))
			last = i;
	*out = (struct wait_site){.kind = "pg lock", .via = last, .site = i < n ? i : last};
	return true;
}

/* SQLite sleeps until the database is no longer locked by another connection. */
static bool find_sqlite_lock(const struct symbol *frames, uint32_t n, struct wait_site *out)
{
	uint32_t first = 0, i;

	while (first < n && first < 4 && !name_begins(frames[first].module, "libsqlite3"))
		first++;
	for (i = first; i < n && name_begins(frames[i].module, "libsqlite3"); i++)
		;
	if (first == 4 || i == first)
		return false;
	*out = (struct wait_site){.kind = "sqlite lock", .via = i - 1, .site = i < n ? i : i - 1};
	return true;
}

/* flock(), and fcntl(F_SETLKW), the one of its commands that waits. */
static bool find_file_lock(const struct symbol *frames, uint32_t n, struct wait_site *out)
{
	const char *name = n ? plain(frames[0].name) : "";

	if (strcmp(name, "flock") != 0 && !name_begins(name, "libc_fcntl") &&
	    !name_begins(name, "fcntl"))
		return false;
	*out = (struct wait_site){.kind = "file lock", .via = 0, .site = n > 1 ? 1 : 0};
	return true;
}

bool wait_site_find_told(const struct symbol *frames, uint32_t n, uint32_t reason,
			 struct wait_site *out)
{
	switch (reason) {
	case BLOCKED_NET:
		return find_pg_lock(frames, n, out);
	case BLOCKED_SLEEP:
		return find_sqlite_lock(frames, n, out);
	case BLOCKED_OTHER:
		return find_file_lock(frames, n, out);
	default:
		return false;
	}
}

bool wait_site_is_inlined_library(const char *name)
{
	static const char *const prefixes[] = {
		"std::",       "__gthread", "__gnu_cxx::", "core::",  "alloc::", "lock_api::",
		"parking_lot", "boost::",   "absl::",	   "folly::", "__cxx",	 "pthread_"};

	if (!strstr(name, "(inlined)"))
		return false;
	name += *name == '<'; /* Rust: <std::sync::Mutex<T>>::lock */
	return NAME_BEGINS_IN(name, prefixes);
}

bool wait_site_may_be_lock(const char *kind)
{
	static const char *const may[] = {"py lock", "sem", "futex"};

	return NAME_IN(kind, may);
}

bool wait_site_is_lock(const char *kind)
{
	static const char *const locks[] = {"mutex",	   "rwlock",	   "GIL",
					    "GVL",	   "LWLock",	   "pg lock",
					    "malloc",	   "go mutex",	   "stdio",
					    "loader",	   "java monitor", "rust mutex",
					    "rust rwlock", "g mutex",	   "sqlite lock",
					    "file lock",   "mdl lock",	   "innodb lock"};

	return NAME_IN(kind, locks);
}
