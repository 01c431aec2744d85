/* SPDX-License-Identifier: Apache-2.0 */
/* calls_stubs.c: the library into the process, functions to its stubs, and back. */
#include "collectors/calls_stubs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/calls_priv.h"
#include "collectors/inject_hooks.h"
#include "collectors/inject_modules.h"

const struct inject_subject inject_calls = {
	.instead = "without --in-process it is probed from the kernel",
	.launch = "--in-process",
};

struct calls *calls_new(pid_t pid, const char *library, bool preloaded)
{
	struct calls *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->pid = pid;
	c->library = library;
	c->preloaded = preloaded;
	c->began = calls_now();
	return c;
}

const struct inject_result *calls_loaded(const struct calls *c)
{
	return &c->loaded;
}

/* ---- getting at it -------------------------------------------------------------------------- */

static int find_port(struct calls *c, const struct inject_modules *m, char *why, size_t why_size)
{
	struct inject_symbol y;
	int err = inject_modules_find(m, c->pid, CALLS_PORT_SYMBOL, &y);

	if (err)
		return err;
	err = inject_read(c->pid, y.addr, &c->port, sizeof(c->port));
	c->port_at = y.addr;
	c->library_map = m->v[y.module].map;
	if (err)
		snprintf(why, why_size, "its memory cannot be read: %s", strerror(-err));
	else if (c->port.version != CALLS_VERSION || c->port.size != sizeof(c->port))
		err = -EPROTO;
	else if (c->port.error)
		err = c->port.error < 0 ? c->port.error : -EIO;
	else if (!c->port.segment)
		err = -ENODATA;
	if (err == -EPROTO)
		snprintf(why, why_size, "the library in it is not of this perftop's version");
	else if (err == -ENODATA)
		snprintf(
			why, why_size,
			"it was started by a command whose calls were to be timed, and not for it");
	else if (err && !why[0])
		snprintf(why, why_size, "the library could not start in it: %s", strerror(-err));
	return err;
}

static int load(struct calls *c, struct inject_modules *m, char *why, size_t why_size)
{
	int err;

	if (c->preloaded) {
		/* Right after an execve it is at work still. */
		snprintf(why, why_size,
			 "its loader did not take libperftop_calls.so: is it linked statically, "
			 "set-user-ID or not of glibc? %s",
			 inject_calls.instead);
		return -EAGAIN;
	}
	if (!c->library) {
		snprintf(why, why_size, "libperftop_calls.so was not found");
		return -ENOENT;
	}
	err = inject_load_file(c->pid, 0, &inject_calls, c->library, &c->loaded, why, why_size);
	inject_modules_fini(m);
	if (!err)
		err = inject_modules_read(m, c->pid);
	if (!err)
		err = find_port(c, m, why, why_size);
	if (err == -ENOENT)
		snprintf(why, why_size, "its dlopen refused %.150s (can it read that file?)",
			 c->library);
	return err;
}

/* What stubs lead to already, from an earlier perftop: nobody may have them lead elsewhere. */
static int read_originals(struct calls *c, char *why, size_t why_size)
{
	static const uint8_t none[CALLS_STUBS];
	int err = inject_read(c->pid, c->port.originals, c->originals, sizeof(c->originals));

	if (!err)
		err = inject_write(c->pid, c->port.gates, none, sizeof(none));
	if (err)
		snprintf(why, why_size, "its memory cannot be read: %s", strerror(-err));
	return err;
}

int calls_open(struct calls *c, char *why, size_t why_size)
{
	struct inject_modules m;
	int err = calls_check_clock(why, why_size);

	if (err)
		return err;
	why[0] = '\0';
	err = inject_modules_read(&m, c->pid);
	if (err == -EAGAIN) {
		snprintf(why, why_size, "its loader is at work; try again");
	} else {
		/* Of a process that has no list of modules the loading tells why. */
		err = err ? -ENOENT : find_port(c, &m, why, why_size);
		if (err == -ENOENT)
			err = load(c, &m, why, why_size);
	}
	inject_modules_fini(&m);
	if (err && !why[0])
		snprintf(why, why_size, "%s", strerror(-err));
	if (!err)
		err = calls_segment_attach(c, why, why_size);
	if (!err)
		err = read_originals(c, why, why_size);
	if (!err)
		calls_segment_begin(c);
	return err;
}

/* ---- functions ------------------------------------------------------------------------------ */

static bool has_row(const struct calls *c, uint32_t function, const char *name)
{
	for (uint32_t i = c->nrows; i-- > 0 && c->row_function[i] == function;)
		if (!strcmp(c->rows[i].name, name))
			return true;
	return false;
}

static int add_row(struct calls *c, uint32_t function, const char *name)
{
	struct got_patch_row *rows;
	uint32_t *functions;

	rows = realloc(c->rows, (c->nrows + 1) * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	c->rows = rows;
	functions = realloc(c->row_function, (c->nrows + 1) * sizeof(*functions));
	if (!functions)
		return -ENOMEM;
	c->row_function = functions;
	name = strdup(name);
	if (!name)
		return -ENOMEM;
	c->rows[c->nrows] = (struct got_patch_row){.name = name};
	c->row_function[c->nrows++] = function;
	return 0;
}

/* The stub that leads to it already, from an earlier perftop; by 0 one that is free. */
static int stub_of(const struct calls *c, uint64_t address)
{
	for (int i = 0; i < CALLS_STUBS; i++)
		if (c->originals[i] == address)
			return i;
	return CALLS_NO_STUB;
}

int calls_add(struct calls *c, uint64_t address, const char *const *names, uint32_t n)
{
	struct calls_function *more;
	uint32_t f = c->nfunctions;
	int err = 0;

	for (uint32_t i = 0; i < c->nfunctions; i++)
		if (c->functions[i].address == address)
			return (int)i;
	more = realloc(c->functions, (f + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->functions = more;
	c->functions[f] = (struct calls_function){.address = address, .stub = stub_of(c, address)};
	c->nfunctions++;
	for (uint32_t i = 0; i < n && !err; i++)
		if (!has_row(c, f, names[i]))
			err = add_row(c, f, names[i]);
	return err ? err : (int)f;
}

/* Is the name another function's too? Then a word that is not bound yet may come to be its. */
static bool is_several(const struct calls *c, const struct inject_modules *m,
		       const struct got_patch_row *row)
{
	struct inject_symbol y;
	uint32_t found = 0;

	for (uint32_t i = 0; i < m->n; i++)
		for (uint32_t nth = 0; nth < 4; nth++) {
			if (inject_module_find_nth(&m->v[i], c->pid, row->name, nth, &y))
				break;
			if (y.addr != row->from)
				return true;
			found++;
		}
	return !found; /* chosen at run time: an indirect function */
}

static void prepare_rows(struct calls *c)
{
	for (uint32_t i = 0; i < c->nrows; i++) {
		const struct calls_function *f = &c->functions[c->row_function[i]];
		struct got_patch_row *row = &c->rows[i];

		row->from = f->address;
		row->to = f->stub < 0 ? 0 : c->port.stubs + (uint64_t)f->stub * CALLS_STUB_BYTES;
		row->slots = row->unbound = 0;
	}
}

/* Words that are not bound yet are left alone at first: here it is asked to what they will be. */
static void look_at_unbound(struct calls *c, const struct inject_modules *m)
{
	for (uint32_t i = 0; i < c->nrows; i++) {
		struct got_patch_row *row = &c->rows[i];

		row->several = !row->unbound || is_several(c, m, row);
		if (!row->several) {
			row->slots += row->unbound;
			row->unbound = 0;
		}
	}
}

/* Words that lead to the functions, or will. */
static void sum_words(struct calls *c)
{
	c->unbound = false;
	for (uint32_t i = 0; i < c->nfunctions; i++)
		c->functions[i].words = 0;
	for (uint32_t i = 0; i < c->nrows; i++) {
		c->functions[c->row_function[i]].words += c->rows[i].slots;
		c->unbound |= c->rows[i].unbound > 0;
	}
}

static int give_stubs(struct calls *c)
{
	for (uint32_t i = 0; i < c->nfunctions; i++) {
		struct calls_function *f = &c->functions[i];

		if (f->stub >= 0 || !f->words)
			continue;
		f->stub = stub_of(c, 0);
		f->refused = f->stub < 0;
		if (f->stub >= 0)
			c->originals[f->stub] = f->address;
	}
	return inject_write(c->pid, c->port.originals, c->originals, sizeof(c->originals));
}

int calls_patch(struct calls *c, char *why, size_t why_size)
{
	struct got_patch_count count = {0};
	struct inject_modules m;
	int err = inject_modules_read(&m, c->pid);

	for (uint32_t i = 0; i < c->nrows; i++)
		c->rows[i].several = true;
	/* Twice: what has words, then those to its stub. */
	for (int pass = 0; !err && pass < 2; pass++) {
		prepare_rows(c);
		c->hooked = true;
		err = got_patch_apply(&m, c->pid, 0, c->library_map, c->rows, c->nrows, true,
				      &count);
		if (!pass)
			look_at_unbound(c, &m);
		sum_words(c);
		if (!err && !pass)
			err = give_stubs(c);
	}
	c->debug = m.debug;
	if (!err && inject_loader_seen(c->pid, m.debug, &c->seen))
		c->seen = 0;
	inject_modules_fini(&m);
	if (err)
		snprintf(why, why_size, "its calls cannot be led to the library: %s",
			 strerror(-err));
	return err;
}

uint32_t calls_led(const struct calls *c)
{
	uint32_t words = 0;

	for (uint32_t i = 0; i < c->nfunctions; i++)
		words += calls_words(c, i);
	return words;
}

uint32_t calls_words(const struct calls *c, uint32_t function)
{
	return c->functions[function].stub < 0 ? 0 : c->functions[function].words;
}

int calls_stub(const struct calls *c, uint32_t function)
{
	return c->functions[function].stub;
}

uint32_t calls_refused(const struct calls *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->nfunctions; i++)
		n += c->functions[i].refused;
	return n;
}

int calls_gates(struct calls *c, const uint8_t *open)
{
	memcpy(c->open, open, sizeof(c->open));
	return inject_write(c->pid, c->port.gates, c->open, sizeof(c->open));
}

bool calls_tick(struct calls *c, uint64_t interval_ns)
{
	bool missed = !calls_segment_renew(c, interval_ns);
	char why[INJECT_WHY];
	uint64_t seen = 0;

	if (missed)
		calls_gates(c, c->open);
	if (c->unbound ||
	    (c->debug && !inject_loader_seen(c->pid, c->debug, &seen) && seen != c->seen))
		calls_patch(c, why, sizeof(why));
	return missed;
}

/* ---- out again ------------------------------------------------------------------------------ */

/* Is the library that was opened still in it? It may have run another program since. */
static bool is_same(const struct calls *c, const struct inject_modules *m)
{
	struct inject_symbol y;

	return !inject_modules_find(m, c->pid, CALLS_PORT_SYMBOL, &y) && y.addr == c->port_at;
}

static void unhook(struct calls *c)
{
	static const uint8_t none[CALLS_STUBS];
	struct got_patch_count count = {0};
	struct inject_modules m;
	int err = -EAGAIN;

	for (int i = 0; err == -EAGAIN && i < 100; i++)
		err = inject_modules_read(&m, c->pid);
	if (!err && is_same(c, &m)) {
		prepare_rows(c);
		for (uint32_t i = 0; i < c->nrows; i++) {
			uint64_t stub = c->rows[i].to;

			c->rows[i].to = c->rows[i].from;
			c->rows[i].from = stub; /* 0: it has none */
		}
		got_patch_apply(&m, c->pid, 0, c->library_map, c->rows, c->nrows, false, &count);
		inject_write(c->pid, c->port.gates, none, sizeof(none));
	}
	inject_modules_fini(&m);
}

void calls_free(struct calls *c)
{
	if (!c)
		return;
	if (c->hooked)
		unhook(c);
	if (c->segment) {
		c->segment->until_ticks = 0;
		c->segment->reader = 0;
	}
	calls_segment_detach(c);
	for (uint32_t i = 0; i < c->nrows; i++)
		free((char *)c->rows[i].name);
	free(c->rows);
	free(c->row_function);
	free(c->functions);
	free(c);
}
