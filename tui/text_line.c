/* SPDX-License-Identifier: Apache-2.0 */
/* text_line.c: a line of a text report, put together from aligned parts. */
#include "tui/text_line.h"

#include <stdarg.h>
#include <string.h>

enum { LABEL_COLUMNS = 12 };

/* Every character that is printed here takes one column. */
static size_t columns(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void text_line_add(struct text_line *l, const char *text)
{
	size_t n = strlen(text);

	if (n > sizeof(l->text) - 1 - l->n)
		n = sizeof(l->text) - 1 - l->n;
	memcpy(l->text + l->n, text, n);
	l->n += n;
	l->text[l->n] = '\0';
}

void text_line_cell(struct text_line *l, const char *text, int width)
{
	size_t used = columns(text), want = (size_t)(width < 0 ? -width : width);

	if (width < 0)
		text_line_add(l, text);
	for (; used < want; used++)
		text_line_add(l, " ");
	if (width >= 0)
		text_line_add(l, text);
}

void text_line_begin(struct text_line *l, const char *label)
{
	l->n = 0;
	text_line_cell(l, label, -LABEL_COLUMNS);
}

void text_line_addf(struct text_line *l, const char *format, ...)
{
	char text[TEXT_LINE_SIZE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	text_line_add(l, text);
}

void text_line_end(struct text_line *l, bool ascii, FILE *out)
{
	while (l->n && l->text[l->n - 1] == ' ')
		l->n--;
	l->text[l->n] = '\0';
	for (const unsigned char *p = (unsigned char *)l->text; *p; p++) {
		if (!ascii || *p < 0x80) {
			putc(*p, out);
		} else if ((*p & 0xc0) != 0x80) {
			/* The micro sign is the one that numbers use. */
			putc(p[0] == 0xc2 && p[1] == 0xb5 ? 'u' : '?', out);
		}
	}
	putc('\n', out);
}
