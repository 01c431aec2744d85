/* SPDX-License-Identifier: Apache-2.0 */
/* procfs.c: reading and parsing the files of /proc/PID. */
#include "collectors/procfs.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ssize_t procfs_pread(int fd, char *buf, size_t size)
{
	size_t have = 0;

	while (have < size - 1) {
		ssize_t n = pread(fd, buf + have, size - 1 - have, (off_t)have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		have += (size_t)n;
	}
	buf[have] = '\0';
	return (ssize_t)have;
}

ssize_t procfs_read(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[96];
	ssize_t n;
	int fd;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	else
		snprintf(path, sizeof(path), "/proc/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = procfs_pread(fd, buf, size);
	close(fd);
	return n;
}

void procfs_join_args(char *buf, ssize_t n)
{
	for (ssize_t i = 0; i + 1 < n; i++)
		if (!buf[i])
			buf[i] = ' ';
	/* Who writes a title over its arguments fills what is left of them. */
	while (n > 0 && (!buf[n - 1] || buf[n - 1] == ' '))
		buf[--n] = '\0';
}

int procfs_parse_stat(const char *text, struct procfs_stat *out)
{
	const char *open_paren = strchr(text, '('), *close_paren = strrchr(text, ')');
	uint64_t f[53] = {0};
	size_t len, n = 4;
	char *end;

	memset(out, 0, sizeof(*out));
	if (!open_paren || !close_paren || close_paren < open_paren || close_paren[1] != ' ' ||
	    !close_paren[2])
		return -EBADMSG;
	len = (size_t)(close_paren - open_paren - 1);
	if (len >= sizeof(out->comm))
		len = sizeof(out->comm) - 1;
	memcpy(out->comm, open_paren + 1, len);
	out->state = close_paren[2];
	for (const char *p = close_paren + 3; n < 53 && *p; n++) {
		f[n] = strtoull(p, &end, 10);
		if (end == p)
			break;
		p = end;
	}
	if (n < 25)
		return -EBADMSG;
	out->ppid = (pid_t)f[4];
	out->exiting = f[9] & 0x4; /* PF_EXITING */
	out->minflt = f[10];
	out->child_minflt = f[11];
	out->majflt = f[12];
	out->child_majflt = f[13];
	out->utime = f[14];
	out->stime = f[15];
	out->child_utime = f[16];
	out->child_stime = f[17];
	out->nice = (int32_t)f[19];
	out->num_threads = (uint32_t)f[20];
	out->starttime = f[22];
	out->vsize_bytes = f[23];
	out->rss_pages = f[24];
	out->startstack = f[28];
	return 0;
}

int procfs_stat(pid_t pid, struct procfs_stat *out)
{
	char buf[1024];
	ssize_t n = procfs_read(pid, "stat", buf, sizeof(buf));

	return n < 0 ? (int)n : procfs_parse_stat(buf, out);
}

uint64_t procfs_field(const char *text, const char *key, uint64_t def)
{
	size_t len = strlen(key);

	for (const char *line = text; line && *line;) {
		if (!strncmp(line, key, len))
			return strtoull(line + len + strspn(line + len, ": \t"), NULL, 10);
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return def;
}

ssize_t procfs_link(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[96];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	n = readlink(path, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return n;
}

uint32_t procfs_parse_cpu_ids(const char *list)
{
	const char *last = list;
	char *end;
	unsigned long v;

	for (const char *p = list; *p; p++)
		if (*p == ',' || *p == '-')
			last = p + 1;
	v = strtoul(last, &end, 10);
	return end == last || v >= 1 << 20 ? 0 : (uint32_t)v + 1;
}

uint32_t procfs_count_cpus(const char *list)
{
	uint32_t n = 0;
	char *end;

	for (const char *p = list; *p >= '0' && *p <= '9'; p = end + (*end == ',')) {
		unsigned long first = strtoul(p, &end, 10), last = first;

		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (last < first || last >= 1 << 20)
			return 0;
		n += (uint32_t)(last - first) + 1;
	}
	return n;
}

uint32_t procfs_cpu_ids(void)
{
	int fd = open("/sys/devices/system/cpu/possible", O_RDONLY | O_CLOEXEC);
	uint32_t n = 0;
	char buf[4096];

	if (fd >= 0) {
		if (procfs_pread(fd, buf, sizeof(buf)) > 0)
			n = procfs_parse_cpu_ids(buf);
		close(fd);
	}
	if (!n) {
		long conf = sysconf(_SC_NPROCESSORS_CONF);

		n = conf > 0 ? (uint32_t)conf : 1;
	}
	return n;
}

pid_t procfs_live_tid(pid_t pid)
{
	struct procfs_stat st;
	struct dirent *e;
	char path[32];
	pid_t tid = pid;
	DIR *d;

	if (procfs_stat(pid, &st) || st.state != 'Z')
		return pid;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && tid == pid && (e = readdir(d))) {
		pid_t t = (pid_t)strtol(e->d_name, NULL, 10);

		if (t > 0 && t != pid && !procfs_stat(t, &st) && st.state != 'Z')
			tid = t;
	}
	if (d)
		closedir(d);
	return tid;
}

bool procfs_is_32_bit(pid_t pid)
{
	char ident[EI_NIDENT] = "";

	return procfs_read(pid, "exe", ident, sizeof(ident)) > EI_CLASS &&
	       !memcmp(ident, ELFMAG, SELFMAG) && ident[EI_CLASS] == ELFCLASS32;
}

bool procfs_in_first_pid_namespace(void)
{
	char link[64];

	/* PROC_PID_INIT_INO of linux/proc_ns.h. */
	return procfs_link(getpid(), "ns/pid", link, sizeof(link)) < 0 ||
	       !strcmp(link, "pid:[4026531836]");
}

int procfs_own_pid(pid_t pid)
{
	char path[64], line[256];
	int result = pid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return errno == EACCES ? -EACCES : -ESRCH;
	while (fgets(line, sizeof(line), f)) {
		char *last = strrchr(line, '\t');

		if (!strncmp(line, "NSpid:", 6) && last && sscanf(last, "%d", &result) == 1)
			break;
	}
	fclose(f);
	return result;
}

int procfs_io(pid_t pid, uint64_t *in, uint64_t *out)
{
	char buf[512];
	ssize_t n = procfs_read(pid, "io", buf, sizeof(buf));

	if (n < 0)
		return (int)n;
	*in = procfs_field(buf, "read_bytes", 0);
	*out = procfs_field(buf, "write_bytes", 0);
	return 0;
}
