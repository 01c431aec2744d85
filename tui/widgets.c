/* SPDX-License-Identifier: Apache-2.0 */
/* widgets.c: bars, sparklines and wrapped text. */
#include "tui/widgets.h"

#include <math.h>
#include <string.h>

#include "tui/format.h"

enum { BLOCK_FULL = 0x2588, BLOCK_LOWER_EIGHTH = 0x2581, MAX_PARTS = 16 };

void widget_bar(struct surface *s, int x, int y, int w, double share, enum style st)
{
	int eighths;

	if (w < 1 || !isfinite(share) || share <= 0)
		return;
	eighths = (int)((share > 1 ? 1 : share) * w * 8 + 0.5);
	for (int i = 0; i < eighths / 8; i++)
		surface_put(s, x + i, y, BLOCK_FULL, st);
	/* Left blocks run from 7/8 at U+2589 down to 1/8 at U+258F. */
	if (eighths % 8)
		surface_put(s, x + eighths / 8, y, (uint32_t)(0x2590 - eighths % 8), st);
}

void widget_spark(struct surface *s, int x, int y, int w, const struct series *v, double full,
		  enum style st)
{
	float max = series_max(v, w > 0 ? (uint32_t)w : 0);

	if (!isfinite(max))
		return;
	max = max < full ? (float)full : max;
	for (int i = 0; i < w; i++) {
		float p = series_at(v, (uint32_t)i);
		int level;

		if (isnan(p))
			continue;
		/* Seven eighths at most, so that sparklines below each other stay apart. */
		level = max > 0 && p > 0 ? (int)(p / max * 6.0f + 0.5f) : 0;
		surface_put(s, x + w - 1 - i, y, BLOCK_LOWER_EIGHTH + (uint32_t)level, st);
	}
}

void widget_graph(struct surface *s, struct rect r, const struct series *v, enum style st)
{
	float hi = series_max(v, r.w > 0 ? (uint32_t)r.w : 0);

	if (!isfinite(hi) || hi <= 0)
		return;
	for (int i = 0; i < r.w; i++) {
		float p = series_at(v, (uint32_t)i);
		int level, x = r.x + r.w - 1 - i;

		if (isnan(p) || p < 0)
			continue;
		level = (int)(p / hi * (float)(r.h * 8) + 0.5f);
		level = level < 1 ? 1 : level;
		for (int row = 0; row < r.h && level > 0; row++, level -= 8)
			surface_put(s, x, r.y + r.h - 1 - row,
				    level >= 8 ? BLOCK_FULL
					       : BLOCK_LOWER_EIGHTH + (uint32_t)level - 1,
				    st);
	}
}

/* Columns of each part: whole shares first, then the columns left over to the largest rests. */
static void stack_columns(int w, const struct widget_part *parts, uint32_t n, int *cols)
{
	double total = 0, rest[MAX_PARTS] = {0};
	int left = w;

	for (uint32_t i = 0; i < n; i++)
		total += parts[i].value > 0 ? parts[i].value : 0;
	for (uint32_t i = 0; i < n; i++) {
		double share = total > 0 && parts[i].value > 0 ? parts[i].value / total : 0;

		cols[i] = (int)(share * w);
		rest[i] = share * w - cols[i];
		if (!cols[i] && share >= 0.005) {
			cols[i] = 1;
			rest[i] = 0;
		}
		left -= cols[i];
	}
	for (; left > 0 && total > 0; left--) {
		uint32_t best = 0;

		for (uint32_t i = 1; i < n; i++)
			if (rest[i] > rest[best])
				best = i;
		cols[best]++;
		rest[best] = 0;
	}
	/* Too many, by parts raised to one column: the widest gives, or at last the smallest. */
	for (; left < 0; left++) {
		uint32_t give = 0;

		for (uint32_t i = 1; i < n; i++)
			if (cols[i] > cols[give] ||
			    (cols[i] == 1 && cols[give] <= 1 &&
			     (!cols[give] || parts[i].value < parts[give].value)))
				give = i;
		cols[give]--;
	}
}

void widget_stack(struct surface *s, int x, int y, int w, const struct widget_part *parts,
		  uint32_t n)
{
	int cols[MAX_PARTS];
	bool letters = s->ascii || s->mono;

	n = n > MAX_PARTS ? MAX_PARTS : n;
	if (w < 1 || !n)
		return;
	stack_columns(w, parts, n, cols);
	for (uint32_t i = 0; i < n; i++)
		for (int c = 0; c < cols[i]; c++)
			surface_put(s, x++, y, letters ? (uint32_t)parts[i].letter : BLOCK_FULL,
				    parts[i].style);
}

int widget_legend(struct surface *s, struct rect r, const struct widget_part *parts, uint32_t n)
{
	double total = 0;
	int x = 0, y = 0;

	for (uint32_t i = 0; i < n; i++)
		total += parts[i].value > 0 ? parts[i].value : 0;
	for (uint32_t i = 0; i < n && total > 0; i++) {
		const struct widget_part *p = &parts[i];
		char pct[FORMAT_SIZE];
		int name_w = text_width(p->name), w = 2 + name_w + 1;

		if (!(p->value / total >= 0.0005))
			continue;
		format_pct(pct, 100 * p->value / total);
		w += text_width(pct);
		if (x && x + w > r.w) {
			x = 0;
			y++;
		}
		if (y >= r.h)
			return r.h;
		surface_put(s, r.x + x, r.y + y,
			    s->ascii || s->mono ? (uint32_t)p->letter : BLOCK_FULL, p->style);
		surface_text(s, r.x + x + 2, r.y + y, r.w - x - 2, STYLE_LABEL, p->name);
		surface_text(s, r.x + x + 3 + name_w, r.y + y, r.w - x - 3 - name_w, STYLE_TEXT,
			     pct);
		x += w + 3;
	}
	return x ? y + 1 : y;
}

int widget_wrap(struct surface *s, struct rect r, enum style st, const char *text)
{
	int x = 0, y = 0, end = 0;

	while (*text && y < r.h) {
		char word[256];
		size_t n = strcspn(text, " "), take = n < sizeof(word) - 1 ? n : sizeof(word) - 1;
		int w;

		memcpy(word, text, take);
		word[take] = '\0';
		w = text_width(word);
		if (x && x + 1 + w > r.w) {
			end = x;
			x = 0;
			if (++y >= r.h)
				break;
		}
		x += x ? 1 : 0;
		if (w > r.w)
			x += surface_name(s, r.x + x, r.y + y, r.w - x, st, word);
		else
			x += surface_text(s, r.x + x, r.y + y, r.w - x, st, word);
		text += take;
		text += strspn(text, " ");
	}
	if (*text && r.h > 0) /* more than fits: say so */
		surface_put(s, r.x + (end < r.w ? end : r.w - 1), r.y + r.h - 1, 0x2026, st);
	return y + (x > 0) > r.h ? r.h : y + (x > 0);
}

void widget_rule(struct surface *s, int x, int y, int w, const char *title)
{
	int used;

	surface_fill(s, (struct rect){x, y, w, 1}, 0x2500, STYLE_BORDER);
	if (w < 5)
		return;
	used = surface_name(s, x + 3, y, w - 5, STYLE_TITLE, title);
	surface_put(s, x + 2, y, ' ', STYLE_TEXT);
	surface_put(s, x + 3 + used, y, ' ', STYLE_TEXT);
}
