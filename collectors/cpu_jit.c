/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_jit.c: code that was made at run time and has no name: whose it is, and what names it. */
#include "collectors/cpu_jit.h"

#include <stdio.h>
#include <string.h>

#include "collectors/symbols.h"

/*
 * All write /tmp/perf-PID.map, which is read here (symbols_jit.c): the Java VM when it is asked,
 * since 17; the others when they were started so.
 */
static const struct {
	const char *file; /* beginning of the name of a mapped file */
	const char *whose;
	const char *before, *after; /* the pid in the command; after NULL: it has none */
	const char *frames;	    /* what has it keep frame pointers, where it does not */
} runtimes[] = {
	{"libjvm.so", "the Java VM", "jcmd ", " Compiler.perfmap",
	 "java -XX:+PreserveFramePointer, when it is started"},
	{"libcoreclr.so", ".NET", "DOTNET_PerfMapEnabled=1, when it is started", NULL, NULL},
	{"libnode.so", "V8", "node --perf-basic-prof, when it is started", NULL, NULL},
	{"node", "V8", "node --perf-basic-prof, when it is started", NULL, NULL},
	{"beam.smp", "Erlang", "erl +JPperf true, when it is started", NULL, NULL},
};

/* Of no file: anonymous, named so ("[anon:code]"), or mapped a second time to be written to. */
static bool is_made(const char *module)
{
	return !strncmp(module, "[anon", 5) || !strncmp(module, "memfd:", 6);
}

double cpu_jit_unnamed_pct(const struct snapshot *s)
{
	double pct = 0;

	for (uint32_t i = 0; i < s->nfunctions; i++)
		if (is_made(s->functions[i].module) && !strcmp(s->functions[i].name, "[unknown]"))
			pct += s->functions[i].recent_pct;
	return pct;
}

static bool maps(const struct symbols_module *m, uint32_t n, const char *file)
{
	for (uint32_t i = 0; i < n; i++) {
		const char *base = strrchr(m[i].path, '/');
		size_t len = strlen(file);

		/* "node", "nodejs" and "libnode.so.115", not "node_exporter" */
		if (base && !strncmp(base + 1, file, len) && base[1 + len] != '_' &&
		    base[1 + len] != '-')
			return true;
	}
	return false;
}

void cpu_jit_explain(struct symbols *syms, pid_t pid, struct cpu_jit *out)
{
	uint32_t n;
	const struct symbols_module *m = symbols_modules(syms, &n);

	*out = (struct cpu_jit){.whose = "a compiler in it", .frames = ""};
	for (uint32_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++) {
		if (!maps(m, n, runtimes[i].file))
			continue;
		out->whose = runtimes[i].whose;
		out->frames = runtimes[i].frames ? runtimes[i].frames : "";
		if (runtimes[i].after)
			snprintf(out->fix, sizeof(out->fix), "%s%d%s", runtimes[i].before, pid,
				 runtimes[i].after);
		else
			snprintf(out->fix, sizeof(out->fix), "%s", runtimes[i].before);
		return;
	}
}
