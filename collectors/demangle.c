/* SPDX-License-Identifier: Apache-2.0 */
/* demangle.c: names of C++ and Rust functions, by libiberty. */
#include "collectors/demangle.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

/* Longer ones come from generated code or an attacker, and would not fit on a screen. */
enum { MANGLED_MAX = 2048 };

struct sink {
	char *buf;
	size_t size, used;
	jmp_buf full;
};

/*
 * A short mangled name can stand for an exponentially long one through back references, so leave
 * the demangler at once when the buffer is full. It works on its own stack and holds no resource
 * while it calls us.
 */
static void sink_write(const char *s, size_t n, void *opaque)
{
	struct sink *k = opaque;
	size_t room = k->size - 1 - k->used;

	/* Rust calls with nothing at NULL. */
	if (n)
		memcpy(k->buf + k->used, s, n < room ? n : room);
	k->used += n < room ? n : room;
	if (n > room)
		longjmp(k->full, 1);
}

typedef int demangle_fn(const char *, int, demangle_callbackref, void *);

static int demangle_by(demangle_fn *fn, const char *raw, int options, struct sink *k)
{
	int ok;

	k->used = 0;
	if (setjmp(k->full))
		ok = 1;
	else
		ok = fn(raw, options, sink_write, k);
	k->buf[k->used] = '\0';
	return ok && k->used;
}

/* ".cold", ".part.0", ".isra.0" tell apart pieces of one function; keep them readable. */
static void append_suffix(const char *raw, char *buf, size_t size)
{
	const char *dot = strchr(raw, '.');
	size_t n = strlen(buf);

	if (dot && n + 2 < size && strlen(dot) < 32)
		snprintf(buf + n, size - n, "%s", dot);
}

void demangle_name(const char *raw, char *buf, size_t size)
{
	struct sink k = {.buf = buf, .size = size};

	if (!size)
		return;
	if (size > 1 && strnlen(raw, MANGLED_MAX) < MANGLED_MAX) {
		/* Legacy Rust names are valid C++ ones too: ask Rust first. */
		if (raw[0] == '_' && (raw[1] == 'R' || raw[1] == 'Z') &&
		    demangle_by(rust_demangle_callback, raw, DMGL_RUST, &k))
			return;
		if (raw[0] == '_' && raw[1] == 'Z' &&
		    demangle_by(cplus_demangle_v3_callback, raw, DMGL_ANSI, &k)) {
			append_suffix(raw, buf, size);
			return;
		}
	}
	snprintf(buf, size, "%s", raw);
}
