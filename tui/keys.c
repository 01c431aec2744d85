/* SPDX-License-Identifier: Apache-2.0 */
/* keys.c: the table of keys for the help view. */
#include "tui/keys.h"

const struct key_row key_rows[] = {
#define X(keys, help) {keys, help},
#include "tui/keys.def"
#undef X
};
const uint32_t nkey_rows = sizeof(key_rows) / sizeof(key_rows[0]);
