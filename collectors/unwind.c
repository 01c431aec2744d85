/* SPDX-License-Identifier: Apache-2.0 */
/* unwind.c: walking a copied stack. */
#include "collectors/unwind.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/inject_modules.h"
#include "collectors/symbols_priv.h"
#include "collectors/unwind_row.h"
#include "probes/calls.h"

/* 2,048 sets of 4 rows, 256 KB: a busy server has some thousand return addresses. */
enum { CACHE_WAYS = 4, CACHE_SETS = 2048, SIGNALS_MAX = 16 };

struct unwinder {
	struct symbols *syms;
	uint64_t generation;
	uint32_t victim;
	uint32_t nsignals;
	struct unwind_signal signals[SIGNALS_MAX];
	struct unwind_stats stats;
	struct unwind_row rows[CACHE_SETS][CACHE_WAYS];
};

/* The stack under the walk. Its bytes are the target's: nothing in them is believed. */
struct walk {
	const uint8_t *slice;
	uint64_t base;
	size_t size;
	uint64_t r[REG_COUNT];
	bool exact; /* pc is where execution stood, not a return address */
};

struct unwinder *unwind_new(struct symbols *syms)
{
	struct unwinder *u = calloc(1, sizeof(*u));

	if (u) {
		u->syms = syms;
		u->generation = symbols_generation(syms);
	}
	return u;
}

void unwind_free(struct unwinder *u)
{
	free(u);
}

void unwind_flush(struct unwinder *u)
{
	memset(u->rows, 0, sizeof(u->rows));
	u->nsignals = 0;
}

const struct unwind_stats *unwind_stats(const struct unwinder *u)
{
	return &u->stats;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/*
 * Where Go's stacks end: goroutines begin above goexit, threads in mstart, and the others run on
 * the thread's own stack for a goroutine (runtime/asm_amd64.s). No table says so.
 */
static bool is_go_start(struct unwinder *u, const struct symbols_module *m, uint64_t pc)
{
	static const char *const starts[] = {"goexit",	    "mstart",	 "rt0_go", "mcall",
					     "systemstack", "morestack", NULL};
	struct symbol sym;

	if (!elf_image_is_go(m->image))
		return false;
	symbols_lookup(u->syms, pc, &sym);
	if (strncmp(sym.name, "runtime.", 8))
		return false;
	for (int i = 0; starts[i]; i++) {
		size_t n = strlen(starts[i]);

		if (!strncmp(sym.name + 8, starts[i], n) &&
		    (!sym.name[8 + n] || sym.name[8 + n] == '.'))
			return true;
	}
	return false;
}

static void row_compute(struct unwinder *u, uint64_t pc, struct unwind_row *row)
{
	const struct symbols_module *m = symbols_module_at(u->syms, pc);
	struct Dwarf_CFI_s *cfi = m && m->image ? elf_image_cfi(m->image) : NULL;
	struct unwind_signal signal;

	memset(row, 0, sizeof(*row));
	row->kind = ROW_NONE;
	if (!m)
		symbols_note_miss(u->syms);
	if (cfi)
		unwind_row_read(cfi, pc - m->bias, row, &signal);
	if (row->kind == ROW_NONE && m && m->image) {
		cfi = elf_image_debug_cfi(m->image);
		if (cfi)
			unwind_row_read(cfi, pc - m->bias, row, &signal);
	}
	if (m && m->image && is_go_start(u, m, pc))
		row->kind = ROW_END;
	row->pc = pc;
	if (row->kind != ROW_SIGNAL)
		return;
	if (u->nsignals == SIGNALS_MAX) {
		row->kind = ROW_NONE;
		return;
	}
	row->offset = (int32_t)u->nsignals;
	u->signals[u->nsignals++] = signal;
}

static const struct unwind_row *row_get(struct unwinder *u, uint64_t pc)
{
	struct unwind_row *set = u->rows[(pc * 0x9e3779b97f4a7c15ull) >> 53];
	struct unwind_row *free_way = NULL;

	for (int i = 0; i < CACHE_WAYS; i++) {
		if (set[i].pc == pc && set[i].kind != ROW_EMPTY) {
			u->stats.hits++;
			return &set[i];
		}
		if (set[i].kind == ROW_EMPTY)
			free_way = &set[i];
	}
	u->stats.misses++;
	if (!free_way)
		free_way = &set[u->victim++ % CACHE_WAYS];
	row_compute(u, pc, free_way);
	return free_way;
}

/* ---- frames --------------------------------------------------------------------------------- */

static bool load(const struct walk *w, uint64_t addr, uint64_t *value)
{
	uint64_t at = addr - w->base;

	if (w->size < sizeof(*value) || at > w->size - sizeof(*value))
		return false;
	memcpy(value, w->slice + at, sizeof(*value));
	return true;
}

static uint64_t place(uint64_t from, int16_t units)
{
	return from + (uint64_t)(int64_t)units * 8;
}

/* arm64 signs return addresses in the bits above user space. */
static uint64_t strip_pc(uint64_t pc)
{
#ifdef __aarch64__
	return pc & ((1ull << 48) - 1);
#else
	return pc;
#endif
}

enum step { STEP_ON, STEP_END, STEP_SHORT, STEP_FAIL };

/* A caller's frame lies above its callee's; only a leaf of arm64 has not moved sp yet. */
static bool cfa_is_sound(const struct walk *w, uint64_t cfa)
{
	return cfa > w->r[REG_SP] || (REG_RA != REG_PC && w->exact && cfa == w->r[REG_SP]);
}

static enum step step_frame(struct walk *w, const struct unwind_row *row)
{
	uint64_t cfa = w->r[row->cfa_reg] + (uint64_t)(int64_t)row->offset, fp = w->r[REG_FP];
	int16_t ra_place = row->ra;
	uint64_t ra = w->r[REG_RA];

	if (row->kind == ROW_FRAME_DEREF && !load(w, cfa, &cfa))
		return STEP_SHORT;
	if (row->kind == ROW_PLT) {
		cfa += (w->r[REG_PC] & 15) >= (uint64_t)row->ra ? 8 : 0;
		ra_place = -1;
	}
	if (!cfa_is_sound(w, cfa))
		return STEP_FAIL;
	if (ra_place != PLACE_SAME && !load(w, place(cfa, ra_place), &ra))
		return STEP_SHORT;
	if (ra_place == PLACE_SAME && !w->exact)
		return STEP_FAIL;
	for (int i = 0; i < REG_SAVED; i++) {
		uint64_t from = row->from_fp & 1u << i ? fp : cfa;

		/* What lies above the slice is lost; it matters only if a frame is found by it. */
		if (row->saved[i] != PLACE_SAME)
			load(w, place(from, row->saved[i]), &w->r[reg_saved[i]]);
	}
	w->r[REG_SP] = cfa;
	w->r[REG_PC] = strip_pc(ra);
	w->exact = false;
	return STEP_ON;
}

/*
 * The library that times calls in the process keeps return addresses in a table. By now the call
 * may have returned: then it is who called last with that word of the stack.
 */
static enum step step_table(struct unwinder *u, struct walk *w, const struct unwind_row *row)
{
	uint64_t word = w->r[REG_SP] + (uint64_t)(int64_t)row->offset, caller = 0;
	uint64_t page = (w->r[REG_PC] - !w->exact) & ~4095ull;
	struct calls_live live[CALLS_PROBES];
	uint32_t to_table;

	if (word & 7 || inject_read(u->syms->pid, page, &to_table, sizeof(to_table)) ||
	    inject_read(u->syms->pid, page + to_table + calls_place(word) * sizeof(live[0]), live,
			sizeof(live)))
		return STEP_FAIL;
	for (int i = CALLS_PROBES; i-- > 0;)
		if ((live[i].key & ~CALLS_FREE) == word && (!caller || live[i].key == word))
			caller = live[i].caller;
	if (!caller)
		return STEP_FAIL;
	w->r[REG_SP] = word + sizeof(word);
	w->r[REG_PC] = caller;
	w->exact = false;
	return STEP_ON;
}

/* The registers that the kernel put on the stack when it called the handler. */
static enum step step_signal(struct walk *w, const struct unwind_signal *signal)
{
	uint64_t r[REG_COUNT], sp = w->r[REG_SP];

	memcpy(r, w->r, sizeof(r));
	for (int i = 0; i < REG_COUNT; i++)
		if (signal->at[i] != PLACE_SAME && !load(w, place(sp, signal->at[i]), &r[i]))
			return STEP_SHORT;
	if (r[REG_SP] <= sp)
		return STEP_FAIL;
	memcpy(w->r, r, sizeof(r));
	w->exact = true;
	return STEP_ON;
}

/* Frame pointer and return address side by side, as on x86-64 and arm64 alike. */
static enum step step_frame_pointer(struct unwinder *u, struct walk *w)
{
	uint64_t fp = w->r[REG_FP], next, ra;

	/* Thread starts written in assembly clear it for us. */
	if (!fp && symbols_module_at(u->syms, w->r[REG_PC]))
		return STEP_END;
	if (fp < w->r[REG_SP] || fp & 7)
		return STEP_FAIL;
	if (!load(w, fp, &next) || !load(w, fp + 8, &ra))
		return fp - w->base < 1u << 20 ? STEP_SHORT : STEP_FAIL;
	ra = strip_pc(ra);
	if (ra && !symbols_module_at(u->syms, ra))
		return STEP_FAIL;
	u->stats.fp_frames++;
	w->r[REG_FP] = next;
	w->r[REG_SP] = fp + 16;
	w->r[REG_PC] = ra;
	w->exact = false;
	return STEP_ON;
}

/* From one frame to its caller. *signal: the frame left is a signal trampoline. */
static enum step step(struct unwinder *u, struct walk *w, bool *signal)
{
	const struct unwind_row *row = row_get(u, w->r[REG_PC] - !w->exact);

	*signal = row->kind == ROW_SIGNAL;
	switch (row->kind) {
	case ROW_FRAME:
	case ROW_FRAME_DEREF:
	case ROW_PLT:
		return step_frame(w, row);
	case ROW_TABLE:
		return step_table(u, w, row);
	case ROW_SIGNAL:
		return step_signal(w, &u->signals[row->offset]);
	case ROW_END:
		return STEP_END;
	default:
		return step_frame_pointer(u, w);
	}
}

uint32_t unwind_stack(struct unwinder *u, const struct unwind_regs *regs, const void *slice,
		      size_t size, uint64_t *pcs, uint32_t max, enum unwind_end *end)
{
	static const enum unwind_end ends[] = {
		[STEP_ON] = UNWIND_TRUNCATED,
		[STEP_END] = UNWIND_COMPLETE,
		[STEP_SHORT] = UNWIND_TRUNCATED,
		[STEP_FAIL] = UNWIND_FAILED,
	};
	struct walk w = {.slice = slice, .base = regs->r[REG_SP], .size = size, .exact = true};
	enum step next = STEP_ON;
	uint32_t n = 0;

	if (u->generation != symbols_generation(u->syms)) {
		unwind_flush(u);
		u->generation = symbols_generation(u->syms);
	}
	memcpy(w.r, regs->r, sizeof(w.r));
	if (max > UNWIND_MAX_FRAMES)
		max = UNWIND_MAX_FRAMES;
	while (n < max) {
		uint64_t pc = w.r[REG_PC];
		bool exact = w.exact, signal;

		next = step(u, &w, &signal);
		/* A handler returns to the trampoline's first byte: nothing there has been run. */
		pcs[n] = pc + (n && (exact || signal));
		n++;
		if (next == STEP_ON && !w.r[REG_PC])
			next = STEP_END;
		if (next != STEP_ON)
			break;
	}
	*end = ends[next];
	return n;
}
