/* SPDX-License-Identifier: Apache-2.0 */
/* demangle.h: names of C++ and Rust functions as people write them. */
#ifndef PERFTOP_DEMANGLE_H
#define PERFTOP_DEMANGLE_H

#include <stddef.h>

/*
 * Write the readable form of a raw symbol name, without parameters, to buf, cut to fit; a name
 * that is not mangled is copied. Bounded in time and memory for any input, and allocates nothing.
 */
void demangle_name(const char *raw, char *buf, size_t size);

#endif
