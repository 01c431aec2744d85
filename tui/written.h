/* SPDX-License-Identifier: Apache-2.0 */
/* written.h: did all that was printed get out? */
#ifndef PERFTOP_WRITTEN_H
#define PERFTOP_WRITTEN_H

#include <stdio.h>

/* Flush. 0, or -errno, also of an earlier write; a reader that has left (EPIPE) is no error. */
int written(FILE *out);

#endif
