/* SPDX-License-Identifier: Apache-2.0 */
/* theme.c: parsing themes, and colours to palette indices. */
#include "tui/theme.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *key, *spec;
} styles[NSTYLES] = {
#define X(id, key, spec) [STYLE_##id] = {key, spec},
#include "tui/styles.def"
#undef X
};

static bool parse_color(const char *word, struct theme_color *c)
{
	unsigned long v;
	char *end;

	*c = (struct theme_color){THEME_DEFAULT, -1};
	if (!strcmp(word, "default"))
		return true;
	if (word[0] == '#') {
		if (strspn(word + 1, "0123456789abcdefABCDEF") != 6 || word[7])
			return false;
		c->rgb = (int32_t)strtoul(word + 1, NULL, 16);
		return true;
	}
	if (!isdigit((unsigned char)word[0]))
		return false;
	v = strtoul(word, &end, 10);
	if (*end || v > 255)
		return false;
	c->index = (int16_t)v;
	return true;
}

static uint8_t parse_attr(const char *word)
{
	static const char *const names[] = {"bold", "dim", "underline", "reverse"};

	for (uint8_t i = 0; i < 4; i++)
		if (!strcmp(word, names[i]))
			return (uint8_t)(1u << i);
	return 0;
}

/* spec is cut into words in place. The word that is wrong, or NULL. */
static const char *parse_style(char *spec, struct theme_style *out)
{
	struct theme_style st = {{THEME_DEFAULT, -1}, {THEME_DEFAULT, -1}, 0};
	char *save, *word = strtok_r(spec, " \t\r", &save);

	if (!word || !parse_color(word, &st.fg))
		return word ? word : "(nothing)";
	while ((word = strtok_r(NULL, " \t\r", &save))) {
		if (!strcmp(word, "on")) {
			word = strtok_r(NULL, " \t\r", &save);
			if (!word || !parse_color(word, &st.bg))
				return word ? word : "on";
		} else if (parse_attr(word)) {
			st.attrs |= parse_attr(word);
		} else {
			return word;
		}
	}
	*out = st;
	return NULL;
}

void theme_init(struct theme *t)
{
	for (int i = 0; i < NSTYLES; i++) {
		char spec[128];

		snprintf(spec, sizeof(spec), "%s", styles[i].spec);
		parse_style(spec, &t->styles[i]);
	}
}

static int style_by_key(const char *key, size_t n)
{
	for (int i = 0; i < NSTYLES; i++)
		if (strlen(styles[i].key) == n && !memcmp(styles[i].key, key, n))
			return i;
	return -1;
}

static int parse_line(struct theme *t, char *line, char *why, size_t why_size)
{
	char *eq, *key = line + strspn(line, " \t\r");
	const char *bad;
	size_t n;
	int id;

	if (!*key || *key == '#')
		return 0;
	eq = strchr(key, '=');
	n = strcspn(key, " \t=");
	id = style_by_key(key, n);
	if (!eq || id < 0) {
		snprintf(why, why_size, eq ? "no style is called '%.*s'" : "'%.*s' has no '='",
			 (int)(n > 40 ? 40 : n), key);
		return -EINVAL;
	}
	bad = parse_style(eq + 1, &t->styles[id]);
	if (!bad)
		return 0;
	snprintf(why, why_size, "'%.40s' is neither a colour nor an attribute", bad);
	return -EINVAL;
}

int theme_parse(struct theme *t, const char *text, size_t size, char *why, size_t why_size)
{
	const char *end = text + size;
	unsigned int number = 1;

	for (; text < end; number++) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((nl ? nl : end) - text);
		char line[256], what[128];

		if (n >= sizeof(line) || memchr(text, '\0', n)) {
			snprintf(why, why_size, "line %u: not text, or too long", number);
			return -EINVAL;
		}
		memcpy(line, text, n);
		line[n] = '\0';
		if (parse_line(t, line, what, sizeof(what))) {
			snprintf(why, why_size, "line %u: %s", number, what);
			return -EINVAL;
		}
		text += n + 1;
	}
	return 0;
}

/* The first 16 of xterm's palette; terminals vary, which is why themes may name an index. */
static const int32_t palette16[16] = {
	0x000000, 0xcd0000, 0x00cd00, 0xcdcd00, 0x0000ee, 0xcd00cd, 0x00cdcd, 0xe5e5e5,
	0x7f7f7f, 0xff0000, 0x00ff00, 0xffff00, 0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff,
};

static int32_t palette_rgb(int i)
{
	static const int steps[6] = {0, 95, 135, 175, 215, 255};

	if (i < 16)
		return palette16[i];
	if (i >= 232)
		return (8 + 10 * (i - 232)) * 0x010101;
	i -= 16;
	return steps[i / 36] << 16 | steps[i / 6 % 6] << 8 | steps[i % 6];
}

/* Weighted as the eye does, so that greys stay greys and greens greens. */
static int distance(int32_t a, int32_t b)
{
	int dr = (a >> 16) - (b >> 16), dg = (a >> 8 & 255) - (b >> 8 & 255),
	    db = (a & 255) - (b & 255);

	return 3 * dr * dr + 6 * dg * dg + 2 * db * db;
}

static int nearest(int32_t rgb, int from, int to)
{
	int best = from;

	for (int i = from; i < to; i++)
		if (distance(rgb, palette_rgb(i)) < distance(rgb, palette_rgb(best)))
			best = i;
	return best;
}

/* A colour with hue keeps it, for the nearest of 8 or 16 to a pale one is mostly a grey. */
static int nearest_hue(int32_t rgb, int ncolors)
{
	int r = rgb >> 16, g = rgb >> 8 & 255, b = rgb & 255;
	int max = r > g ? (r > b ? r : b) : (g > b ? g : b);
	int min = r < g ? (r < b ? r : b) : (g < b ? g : b);
	int mid = (max + min) / 2, base;

	if (max - min < 48) {
		if (ncolors >= 16)
			return max < 60 ? 0 : max < 160 ? 8 : max < 230 ? 7 : 15;
		return max < 96 ? 0 : 7;
	}
	base = (r >= mid ? 1 : 0) | (g >= mid ? 2 : 0) | (b >= mid ? 4 : 0);
	return ncolors >= 16 && max >= 200 ? base + 8 : base;
}

int theme_index(const struct theme_color *c, int ncolors)
{
	int32_t rgb = c->rgb;

	if (c->index >= 0) {
		if (c->index < ncolors)
			return c->index;
		rgb = palette_rgb(c->index);
	}
	if (rgb == THEME_DEFAULT || ncolors < 8)
		return -1;
	/* The first 16 look different on every terminal: with 256 colours they are left alone. */
	return ncolors >= 256 ? nearest(rgb, 16, 256) : nearest_hue(rgb, ncolors);
}
