/* SPDX-License-Identifier: Apache-2.0 */
/* doctor_sampler.h: can our libraries be loaded into a running process here? */
#ifndef PERFTOP_DOCTOR_SAMPLER_H
#define PERFTOP_DOCTOR_SAMPLER_H

#include <stddef.h>

/*
 * Starts an engine, loads the sampler into it and ends it again. 0, or -errno; text says how it
 * went, or why not.
 */
int doctor_try_sampler(char *text, size_t size);
/* The same for the library that times calls in the process, with calls counted. */
int doctor_try_calls(char *text, size_t size);

#endif
