/* SPDX-License-Identifier: Apache-2.0 */
/* format.h: numbers as people read them: three significant digits and a unit. */
#ifndef PERFTOP_FORMAT_H
#define PERFTOP_FORMAT_H

#include <stddef.h>
#include <stdint.h>

/* Every call fills buf (FORMAT_SIZE is enough) and returns it. */
enum { FORMAT_SIZE = 24 };

const char *format_ns(char *buf, uint64_t ns);			 /* "12.3 µs"; "-" for 0 */
const char *format_bytes(char *buf, uint64_t bytes);		 /* "1.23 GiB" */
const char *format_count(char *buf, double n);			 /* "12.3k" */
const char *format_rate(char *buf, double per_s);		 /* "12.3k/s" */
const char *format_pct(char *buf, double pct);			 /* "12.3 %" */
const char *format_age(char *buf, uint64_t ns);			 /* "3 h 12 m" */
const char *format_value(char *buf, double v, const char *unit); /* by unit: ns, bytes, other */

#endif
