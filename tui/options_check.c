/* SPDX-License-Identifier: Apache-2.0 */
/* options_check.c: options that contradict each other, or would do nothing, are refused. */
#include "tui/options_priv.h"

#include <string.h>
#include <sys/stat.h>

/* --heap=trace counts the calls of these wherever the target has them. */
static int add_allocator(struct parser *p)
{
	static const char *const names[] = {"malloc", "calloc", "realloc", "free"};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(names) / sizeof(names[0]); i++)
		err = options_add_probe(p, names[i]);
	return err;
}

static int count_targets(const struct options *o)
{
	return (o->session.pid != 0) + (o->name != NULL) + (o->launch != NULL) +
	       (o->session.replay_path != NULL) + (o->cgroup != NULL) + (o->container != NULL);
}

static int check_targets(struct parser *p)
{
	struct options *o = p->o;
	int n = count_targets(o);

	if (n > 1)
		return options_bad(p, "more than one target; give one of -p, -n, --cgroup, "
				      "--container, --replay and -- COMMAND");
	if (o->output_path && !o->launch)
		return options_bad(p, "--output is for a command that perftop launches: "
				      "-- COMMAND");
	if ((o->load || o->engine_args) && (n || !o->watch))
		return options_bad(p, "--load and --engine-args are for the built-in engine: "
				      "--watch with no other target");
	if (p->speed && !o->session.replay_path)
		return options_bad(p, "--speed is for a recording: --replay FILE");
	return 0;
}

/* What these two commands print is neither text of ticks nor JSON. */
static int check_commands(struct parser *p)
{
	struct options *o = p->o;
	bool list = o->command == OPTIONS_LIST_PROBES, doctor = o->command == OPTIONS_DOCTOR;

	if (doctor && count_targets(o))
		return options_bad(p, "--doctor has a subject of its own; leave the target out");
	if (doctor && o->session.nprobes)
		return options_bad(p, "--doctor has probes of its own; leave -e and --heap=trace "
				      "out");
	if (list && !o->session.nprobes)
		return options_bad(p, "--list-probes needs something to look for: "
				      "-e libc.so.6:malloc");
	if (list && o->session.replay_path)
		return options_bad(p, "--list-probes needs a process: -p, -n or -- COMMAND");
	if ((list || doctor) && (o->json || o->session.record_path))
		return options_bad(p, "%s prints text alone; leave --json and --record out",
				   doctor ? "--doctor" : "--list-probes");
	return 0;
}

/* The first option given that has a process measured, NULL = none. */
static const char *measures(const struct session_config *s)
{
	if (s->nprobes)
		return "-e";
	if (s->heap == HEAP_SAMPLE || s->heap == HEAP_TRACE)
		return "--heap";
	if (s->syscalls == SYSCALL_FULL || s->syscalls == SYSCALL_COUNT)
		return "--syscalls";
	return s->follow_forks ? "--follow-forks" : NULL;
}

static int check_measures(struct parser *p)
{
	const struct session_config *s = &p->o->session;
	const char *what = measures(s);

	if (s->replay_path && s->record_path)
		return options_bad(p, "--record and --replay together; copy the file instead");
	if (s->replay_path && what)
		return options_bad(p,
				   "%s is for a process; what a recording holds was chosen when it "
				   "was made: leave it out",
				   what);
	if (s->no_bpf && p->o->command != OPTIONS_LIST_PROBES) {
		if (s->heap == HEAP_TRACE)
			return options_bad(p, "--heap=trace works by eBPF; leave out --no-bpf");
		if ((s->nprobes && !s->in_process) || s->syscalls == SYSCALL_FULL ||
		    s->syscalls == SYSCALL_COUNT)
			return options_bad(p, "%s works by eBPF; leave out --no-bpf",
					   s->in_process ? "--syscalls" : what);
	}
	if (!s->nprobes && !s->replay_path && s->heap != HEAP_TRACE &&
	    (s->latency_target_ns || s->slower_ns))
		return options_bad(p, "%s is for probed functions; name one: -e MODULE:FUNCTION",
				   s->slower_ns ? "--slower" : "--target");
	if (p->o->text && p->o->json)
		return options_bad(p, "--text and --json together; give one of them");
	return 0;
}

static int check_in_process(struct parser *p)
{
	const struct session_config *s = &p->o->session;

	if (!s->in_process)
		return 0;
	if (s->heap == HEAP_TRACE)
		return options_bad(p, "--heap=trace works by eBPF; leave out --in-process");
	if (!s->nprobes)
		return options_bad(p, "--in-process is for functions; name one: "
				      "-e libc.so.6:malloc");
	for (uint32_t i = 0; i < s->nprobes; i++)
		if (!strncmp(s->probes[i], "usdt:", 5))
			return options_bad(p,
					   "-e %.80s: markers work by eBPF; leave out --in-process",
					   s->probes[i]);
	return 0;
}

/* By another name too, where it is there already. Devices take more than one. */
static bool same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	if (stat(a, &sa) || stat(b, &sb))
		return !strcmp(a, b);
	return S_ISREG(sa.st_mode) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* Each would overwrite what the other holds. */
static int check_files(struct parser *p)
{
	const struct options *o = p->o;
	const struct {
		const char *option, *path;
	} files[] = {{"--replay", o->session.replay_path},
		     {"--record", o->session.record_path},
		     {"--json", o->json_path},
		     {"--output", o->output_path}};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		for (size_t j = 0; j < i; j++)
			if (files[i].path && files[j].path &&
			    same_file(files[i].path, files[j].path))
				return options_bad(p, "%s and %s name one file, %.60s; give two",
						   files[j].option, files[i].option, files[i].path);
	return 0;
}

int options_check(struct parser *p)
{
	const struct session_config *s = &p->o->session;
	int err = check_targets(p);

	if (!err)
		err = check_measures(p);
	if (!err)
		err = check_in_process(p);
	if (!err)
		err = check_files(p);
	if (!err && s->heap == HEAP_TRACE)
		err = add_allocator(p);
	return err ? err : check_commands(p);
}
