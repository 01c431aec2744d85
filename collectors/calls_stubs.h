/* SPDX-License-Identifier: Apache-2.0 */
/* calls_stubs.h: libperftop_calls.so in a process: functions led through its stubs, and their
 * counts. */
#ifndef PERFTOP_CALLS_STUBS_H
#define PERFTOP_CALLS_STUBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/inject.h"
#include "probes/calls.h"

/*
 * Calls are led through stubs by the words of all modules through which they pass (jump slots, GOT
 * entries, relocated words that hold the function's address): no code is changed. So calls that
 * pass no such word are not seen: those inside the function's own module that its linker bound,
 * and through pointers that the program copied before. x86-64 and glibc only.
 */
struct calls;
struct latency_sum;

/* library: path, for a process that has not got it. preloaded: it has, or never will. */
struct calls *calls_new(pid_t pid, const char *library, bool preloaded);
/* Restores every word; the library stays, and passes calls on that still come to it. */
void calls_free(struct calls *c);

/*
 * Load the library where it is not there yet, and take its counts into our memory, which outlive
 * the process. 0, or -errno with why: -EAGAIN try again later.
 */
int calls_open(struct calls *c, char *why, size_t why_size);
/* How it was loaded; tid 0: it was there already. */
const struct inject_result *calls_loaded(const struct calls *c);

/*
 * A function by its address, which may have several names; its index, from 0 on, or -ENOMEM. The
 * same again is the same.
 */
int calls_add(struct calls *c, uint64_t address, const char *const *names, uint32_t n);
/*
 * Lead all words that are new to stubs, of which functions get one as long as there are any. 0 or
 * -errno with why.
 */
int calls_patch(struct calls *c, char *why, size_t why_size);
uint32_t calls_led(const struct calls *c); /* words, of all functions: changes when theirs do */
uint32_t calls_words(const struct calls *c, uint32_t function); /* that lead to its stub */
int calls_stub(const struct calls *c, uint32_t function);	/* negative: it has none */
uint32_t calls_refused(const struct calls *c); /* functions for which no stub was left */

/* Which stubs count, one byte each; the others pass calls on. 0 or -errno. */
int calls_gates(struct calls *c, const uint8_t *open);

/*
 * Once a tick: modules that were loaded since are led to the stubs too. True: calls went uncounted,
 * because perftop stood still for so long that the library took it for dead.
 */
bool calls_tick(struct calls *c, uint64_t interval_ns);

/* The reader's part; valid after the process has ended. */
uint64_t calls_count(const struct calls *c, uint32_t stub);
void calls_add_sum(const struct calls *c, uint32_t stub, struct latency_sum *sum);
uint64_t calls_untimed(const struct calls *c);
/* Measured in the process: what a call pays, and what of it is in its time. */
void calls_price(const struct calls *c, double *call_ns, double *floor_ns);

#endif
