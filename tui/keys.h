/* SPDX-License-Identifier: Apache-2.0 */
/* keys.h: keys as the views see them: a code point, or one of these. */
#ifndef PERFTOP_KEYS_H
#define PERFTOP_KEYS_H

#include <stdint.h>

enum key_code {
	KEYC_TAB = 9,
	KEYC_ENTER = 13,
	KEYC_REDRAW = 12, /* Ctrl-L */
	KEYC_ESC = 27,
	KEYC_UP = 0x110000,
	KEYC_DOWN,
	KEYC_LEFT,
	KEYC_RIGHT,
	KEYC_PAGE_UP,
	KEYC_PAGE_DOWN,
	KEYC_HOME,
	KEYC_END,
	KEYC_BACKSPACE,
	KEYC_BACK_TAB,
	KEYC_RESIZE,
	KEYC_F1,
	KEYC_F10 = KEYC_F1 + 9,
};

/* One row of keys.def. */
struct key_row {
	const char *keys, *help;
};
extern const struct key_row key_rows[];
extern const uint32_t nkey_rows;

#endif
