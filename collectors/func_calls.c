/* SPDX-License-Identifier: Apache-2.0 */
/* func_calls.c: --in-process: rows of the plan and the stubs of the library in the process. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/calls_stubs.h"
#include "collectors/func_priv.h"
#include "collectors/probe_plan_priv.h"
#include "collectors/symbols.h"
#include "probes/calls.h"

enum { NAMES_MAX_ALIASES = 16, OPEN_TRIES = 50 };

struct func_function {
	uint32_t row;
	uint32_t next; /* of the same row, + 1 */
};

struct func_calls {
	struct calls *calls;
	bool opened, hopeless;
	uint32_t tries;
	uint32_t done;			 /* sites of the plan that have stubs, or never will */
	struct func_function *functions; /* by index of calls_add() */
	uint32_t nfunctions;
	uint32_t *first; /* function of each row + 1 */
	uint8_t *set;	 /* enum func_set by row */
	uint32_t led;	 /* words that rows tell of */
	bool window;
	bool missed; /* calls went uncounted */
	char why[SNAP_TEXT];
};

void func_calls_free(struct func_calls *c)
{
	if (!c)
		return;
	calls_free(c->calls);
	free(c->functions);
	free(c->first);
	free(c->set);
	free(c);
}

/* ---- gates ---------------------------------------------------------------------------------- */

static int set_gates(struct func_calls *c, char *why, size_t why_size)
{
	uint8_t open[CALLS_STUBS] = {0};
	int err;

	for (uint32_t i = 0; i < c->nfunctions; i++) {
		enum func_set set = (enum func_set)c->set[c->functions[i].row];
		int stub = calls_stub(c->calls, i);

		if (stub >= 0)
			open[stub] = set == FUNC_STEADY || (set == FUNC_WINDOWED && c->window);
	}
	err = c->opened ? calls_gates(c->calls, open) : 0;
	/* A process that has ended makes no more calls. */
	if (err == -ENOENT || err == -ESRCH || err == -EIO)
		return 0;
	if (err)
		snprintf(why, why_size, "its library cannot be told which calls count: %s",
			 strerror(-err));
	return err;
}

int func_calls_move(struct func *f, enum func_set to, char *why, size_t why_size)
{
	for (uint32_t i = 0; i < f->nrows; i++)
		if (f->moved[i])
			f->calls->set[i] = (uint8_t)to;
	return set_gates(f->calls, why, why_size);
}

int func_calls_window(struct func *f, bool open, char *why, size_t why_size)
{
	f->calls->window = open;
	return set_gates(f->calls, why, why_size);
}

/* ---- sites ---------------------------------------------------------------------------------- */

/* Names of the function at vaddr, without their versions, in buf. */
static uint32_t find_names(const struct symbols_module *m, uint64_t vaddr, const char *row_name,
			   char buf[][SNAP_NAME], const char **names)
{
	const struct elf_function *fns;
	uint32_t nfns, n = 1;

	/* An indirect function's choice goes by another name than its callers use. */
	snprintf(buf[0], SNAP_NAME, "%s", row_name);
	names[0] = buf[0];
	if (elf_image_functions(m->image, &fns, &nfns))
		return n;
	for (uint32_t i = 0; i < nfns && n < NAMES_MAX_ALIASES; i++) {
		if (fns[i].vaddr != vaddr || strlen(fns[i].name) >= SNAP_NAME)
			continue;
		snprintf(buf[n], SNAP_NAME, "%.*s", (int)strcspn(fns[i].name, "@"), fns[i].name);
		names[n] = buf[n];
		n++;
	}
	return n;
}

static bool is_of(const struct symbols_module *m, const struct probe_file *file)
{
	uint64_t dev, inode;

	return m->image && !strcmp(m->path, file->path) && !plan_identify(m, &dev, &inode) &&
	       dev == file->dev && inode == file->inode;
}

static void add_function(struct func_calls *c, uint64_t address, const char *const *names,
			 uint32_t n, uint32_t row)
{
	int f = calls_add(c->calls, address, names, n);
	struct func_function *more;

	if (f < 0 || (uint32_t)f < c->nfunctions)
		return;
	more = realloc(c->functions, ((uint32_t)f + 1) * sizeof(*more));
	if (!more)
		return;
	c->functions = more;
	c->functions[f] = (struct func_function){.row = row, .next = c->first[row]};
	c->nfunctions = (uint32_t)f + 1;
	c->first[row] = c->nfunctions;
}

/* Wherever its file is mapped: once, as a rule. */
static void add_site(struct func *f, struct session *se, const struct probe_site *site)
{
	const struct probe_file *file = probe_plan_file(f->plan, site->file);
	const struct probe_row *row = probe_plan_row(f->plan, site->row);
	char buf[NAMES_MAX_ALIASES][SNAP_NAME];
	const char *names[NAMES_MAX_ALIASES];
	const struct symbols_module *m;
	struct func_calls *c = f->calls;
	uint64_t vaddr;
	uint32_t n;

	m = symbols_modules(session_symbols(se), &n);
	for (uint32_t i = 0; i < n; i++) {
		if (!is_of(&m[i], file) || elf_image_vaddr_of(m[i].image, site->offset, &vaddr) ||
		    vaddr + m[i].bias < m[i].start || vaddr + m[i].bias >= m[i].end)
			continue;
		add_function(c, vaddr + m[i].bias, names,
			     find_names(&m[i], vaddr, row->name, buf, names), site->row);
	}
}

int func_calls_sites(struct func *f, struct session *se, char *why, size_t why_size)
{
	struct func_calls *c = f->calls;
	const struct probe_site *sites;
	uint32_t n;
	int err;

	if (!c->opened)
		return 0;
	sites = probe_plan_sites(f->plan, &n);
	for (; c->done < n; c->done++)
		add_site(f, se, &sites[c->done]);
	err = calls_patch(c->calls, why, why_size);
	return err ? err : set_gates(c, why, why_size);
}

/* ---- life ----------------------------------------------------------------------------------- */

static void say_loaded(const struct func_calls *c, struct session *se)
{
	const struct inject_result *r = calls_loaded(c->calls);

	if (r->tid)
		session_event(se,
			      "loaded the timer of calls: thread %u stood still for %.2f ms; it "
			      "maps %.0f MiB, of which what is used takes memory",
			      r->tid, (double)r->stop_ns / 1e6,
			      (double)CALLS_SEGMENT_BYTES / (1 << 20));
}

static int open_calls(struct func *f, struct session *se, char *why, size_t why_size)
{
	struct func_calls *c = f->calls;
	int err = calls_open(c->calls, why, why_size);

	if (!err) {
		c->opened = true;
		say_loaded(c, se);
		err = func_calls_sites(f, se, why, why_size);
		func_rows_price(f, 0);
	}
	c->hopeless = err && err != -EAGAIN && err != -ETIMEDOUT && err != -EBUSY;
	snprintf(c->why, sizeof(c->why), "%s", err ? why : "");
	return c->hopeless ? err : 0;
}

int func_calls_open(struct func *f, struct session *se, char *why, size_t why_size)
{
	const struct session_config *cfg = session_config(se);
	struct func_calls *c = calloc(1, sizeof(*c));

	f->calls = c;
	if (c) {
		c->set = calloc(f->cap, 1);
		c->first = calloc(f->cap, sizeof(*c->first));
		c->calls = calls_new(session_pid(se), cfg->calls_library, cfg->calls_preloaded);
	}
	if (!c || !c->set || !c->first || !c->calls) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	return open_calls(f, se, why, why_size);
}

void func_calls_tick(struct func *f, struct session *se)
{
	struct func_calls *c = f->calls;
	char why[SNAP_TEXT];

	if (c->opened) {
		c->missed |= calls_tick(c->calls, session_interval_ns(se));
		if (calls_led(c->calls) == c->led)
			return;
		c->led = calls_led(c->calls);
		set_gates(c, why, sizeof(why));
		func_rows_price(f, 0);
		func_say(se, f);
	} else if (!c->hopeless && c->tries++ < OPEN_TRIES) {
		open_calls(f, se, why, sizeof(why));
		func_say(se, f);
	}
}

/* ---- rows ----------------------------------------------------------------------------------- */

uint64_t func_calls_count(const struct func *f, uint32_t row)
{
	const struct func_calls *c = f->calls;
	uint64_t calls = 0;

	for (uint32_t i = c->first[row]; i; i = c->functions[i - 1].next)
		if (calls_stub(c->calls, i - 1) >= 0)
			calls += calls_count(c->calls, (uint32_t)calls_stub(c->calls, i - 1));
	return calls;
}

void func_calls_sum(const struct func *f, uint32_t row, struct latency_sum *sum)
{
	const struct func_calls *c = f->calls;

	memset(sum, 0, sizeof(*sum));
	for (uint32_t i = c->first[row]; i; i = c->functions[i - 1].next)
		if (calls_stub(c->calls, i - 1) >= 0)
			calls_add_sum(c->calls, (uint32_t)calls_stub(c->calls, i - 1), sum);
}

static uint32_t words_of(const struct func_calls *c, uint32_t row)
{
	uint32_t words = 0;

	for (uint32_t i = c->first[row]; i; i = c->functions[i - 1].next)
		words += calls_words(c->calls, i - 1);
	return words;
}

bool func_calls_price(const struct func *f, uint32_t row, double *cost_ns, char *note,
		      size_t note_size)
{
	uint32_t words = words_of(f->calls, row);
	double floor_ns;

	calls_price(f->calls->calls, cost_ns, &floor_ns);
	if (words)
		snprintf(note, note_size, "calls through %u GOT slot%s; ~%.0f ns is the timer's",
			 words, words == 1 ? "" : "s", floor_ns);
	else
		snprintf(note, note_size, "no GOT slot leads to it: its calls are not seen");
	return words > 0;
}

bool func_calls_works(const struct func *f)
{
	return f->calls->opened;
}

void func_calls_say(const struct func *f, char *text, size_t size, uint32_t *unseen)
{
	const struct func_calls *c = f->calls;
	uint64_t untimed = calls_untimed(c->calls);
	double call_ns, floor_ns;
	int n;

	*unseen = 0;
	if (!c->opened) {
		snprintf(text, size, "not timed in the process%s: %.180s",
			 c->hopeless || c->tries >= OPEN_TRIES ? "" : " yet", c->why);
		return;
	}
	for (uint32_t i = 0; i < f->nrows; i++)
		*unseen += !words_of(c, i);
	calls_price(c->calls, &call_ns, &floor_ns);
	n = snprintf(text, size,
		     "timed in the process, ~%.0f ns a call: calls that pass a GOT slot, and no "
		     "others",
		     call_ns);
	if (untimed && n > 0 && (size_t)n < size)
		n += snprintf(text + n, size - (size_t)n, "; %llu counted but not timed",
			      (unsigned long long)untimed);
	if (calls_refused(c->calls) && n > 0 && (size_t)n < size)
		n += snprintf(text + n, size - (size_t)n, "; %u beyond the %d that can be",
			      calls_refused(c->calls), CALLS_STUBS);
	if (c->missed && n > 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n,
			 "; perftop stood still, and calls went uncounted meanwhile");
}
