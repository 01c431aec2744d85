/* SPDX-License-Identifier: Apache-2.0 */
/* text_line.h: a line of a text report, put together from aligned parts. */
#ifndef PERFTOP_TEXT_LINE_H
#define PERFTOP_TEXT_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TEXT_LINE_SIZE = 1024 };

struct text_line {
	char text[TEXT_LINE_SIZE];
	size_t n;
};

/* A new line that begins with what it is about, padded to the column of the rest. */
void text_line_begin(struct text_line *l, const char *label);
/* What does not fit is cut. */
void text_line_add(struct text_line *l, const char *text);
__attribute__((format(printf, 2, 3))) void text_line_addf(struct text_line *l, const char *format,
							  ...);
/* Padded to `width` columns: on the left when it is positive, on the right when negative. */
void text_line_cell(struct text_line *l, const char *text, int width);
/* Written without blanks at its end; in ASCII other characters become '?', the micro sign 'u'. */
void text_line_end(struct text_line *l, bool ascii, FILE *out);

#endif
