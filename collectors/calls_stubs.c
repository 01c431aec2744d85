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
		snprintf(why, why_size,
			 "its loader did not take libperftop_calls.so: is it linked statically, "
			 "set-user-ID or not of glibc? %s",
			 inject_calls.instead);
		return -ENOTSUP;
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

static int stub_for(struct calls *c, uint64_t address)
{
	int free_stub = -ENOSPC;

	for (int i = 0; i < CALLS_STUBS; i++) {
		if (c->originals[i] == address)
			return i;
		if (!c->originals[i] && free_stub < 0)
			free_stub = i;
	}
	return free_stub;
}

static bool has_row(const struct calls *c, uint32_t stub, const char *name)
{
	for (uint32_t i = 0; i < c->nrows; i++)
		if (c->row_stub[i] == stub && !strcmp(c->names[i], name))
			return true;
	return false;
}

int calls_add(struct calls *c, uint64_t address, const char *const *names, uint32_t n)
{
	int stub = stub_for(c, address);

	if (stub < 0)
		return stub;
	c->originals[stub] = address;
	for (uint32_t i = 0; i < n && c->nrows < CALLS_ROWS; i++) {
		if (strlen(names[i]) >= CALLS_NAME || has_row(c, (uint32_t)stub, names[i]))
			continue;
		snprintf(c->names[c->nrows], CALLS_NAME, "%s", names[i]);
		c->row_stub[c->nrows] = (uint32_t)stub;
		c->rows[c->nrows] = (struct got_patch_row){
			.name = c->names[c->nrows],
			.from = address,
			.to = c->port.stubs + (uint64_t)stub * CALLS_STUB_BYTES,
		};
		c->nrows++;
	}
	return stub;
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

int calls_patch(struct calls *c, char *why, size_t why_size)
{
	struct got_patch_count count = {0};
	struct inject_modules m;
	int err = inject_modules_read(&m, c->pid);

	if (!err)
		err = inject_write(c->pid, c->port.originals, c->originals, sizeof(c->originals));
	for (uint32_t i = 0; !err && i < c->nrows; i++) {
		c->rows[i].several = is_several(c, &m, &c->rows[i]);
		c->rows[i].slots = c->rows[i].unbound = 0;
	}
	if (!err) {
		c->hooked = true;
		err = got_patch_apply(&m, c->pid, 0, c->library_map, c->rows, c->nrows, true,
				      &count);
	}
	memset(c->words, 0, sizeof(c->words));
	c->unbound = false;
	for (uint32_t i = 0; i < c->nrows; i++) {
		c->words[c->row_stub[i]] += c->rows[i].slots;
		c->unbound |= c->rows[i].unbound > 0;
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

uint32_t calls_words(const struct calls *c, uint32_t stub)
{
	return c->words[stub];
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
		for (uint32_t i = 0; i < c->nrows; i++) {
			uint64_t to = c->rows[i].to;

			c->rows[i].to = c->rows[i].from;
			c->rows[i].from = to;
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
	free(c);
}
