/* SPDX-License-Identifier: Apache-2.0 */
/* keys.c: the table of keys for the help view. */
#include "tui/keys.h"

const struct key_help key_helps[] = {
#define X(keys, help) {keys, help},
#include "tui/keys.def"
#undef X
};
const uint32_t nkey_helps = sizeof(key_helps) / sizeof(key_helps[0]);
