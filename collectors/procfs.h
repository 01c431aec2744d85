/* SPDX-License-Identifier: Apache-2.0 */
/* procfs.h: reading and parsing the files of /proc/PID. */
#ifndef PERFTOP_PROCFS_H
#define PERFTOP_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The fields of /proc/PID/stat that are used, see proc(5). Times are in clock ticks. */
struct procfs_stat {
	char comm[32];
	char state;
	pid_t ppid;
	uint64_t minflt, majflt, utime, stime, starttime;
	uint64_t child_minflt, child_majflt, child_utime, child_stime; /* of those waited for */
	bool exiting; /* its first thread is on its way out */
	uint64_t vsize_bytes, rss_pages;
	uint64_t startstack; /* 0 without permission to ptrace */
	int32_t nice;
	uint32_t num_threads;
};

/*
 * Read /proc/PID/NAME (pid 0: /proc/NAME) into buf, NUL-terminated, cut at size - 1. Returns the
 * length or -errno.
 */
ssize_t procfs_read(pid_t pid, const char *name, char *buf, size_t size);

/* The n bytes of a cmdline in one line: spaces between arguments, none at the end. */
void procfs_join_args(char *buf, ssize_t n);
ssize_t procfs_pread(int fd, char *buf, size_t size); /* an open /proc file, from its start */

/* 0, or -EBADMSG when the text is not a stat line. comm may hold spaces and parentheses. */
int procfs_parse_stat(const char *text, struct procfs_stat *out);
int procfs_stat(pid_t pid, struct procfs_stat *out);

/* Bytes to and from block devices, of threads that ended too. 0 or -errno. */
int procfs_io(pid_t pid, uint64_t *in, uint64_t *out);

/* Number after "key" at the start of a line of text ("VmRSS:   123 kB" gives 123), or def. */
uint64_t procfs_field(const char *text, const char *key, uint64_t def);

/* Highest CPU number in a list such as "0-3,8-11", plus one; 0 when it is none. */
uint32_t procfs_parse_cpu_ids(const char *list);
/* How many CPUs such a list names; 0 when it is none. */
uint32_t procfs_count_cpus(const char *list);
/* CPU numbers that can occur: ids may have gaps, so this can be more than there are CPUs. */
uint32_t procfs_cpu_ids(void);

/* pid, or a thread of it that lives when its first thread, whose files are empty then, does not. */
pid_t procfs_live_tid(pid_t pid);

/* The pid by which the process knows itself, in a container too; -errno. */
int procfs_own_pid(pid_t pid);

/* Link /proc/PID/NAME into buf; returns its length or -errno. */
ssize_t procfs_link(pid_t pid, const char *name, char *buf, size_t size);

/* Does it run a 32-bit program? False where that cannot be read. */
bool procfs_is_32_bit(pid_t pid);

/* Are pids here what the kernel counts? True where /proc does not say. */
bool procfs_in_first_pid_namespace(void);

#endif
