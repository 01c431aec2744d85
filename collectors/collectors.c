/* SPDX-License-Identifier: Apache-2.0 */
/* collectors.c: the table of collectors. */
#include "collectors/collector.h"

#define X(name, help) extern const struct collector collector_##name;
#include "collectors/collectors.def"
#undef X

const struct collector *const collectors[] = {
#define X(name, help) &collector_##name,
#include "collectors/collectors.def"
#undef X
};
const uint32_t ncollectors = sizeof(collectors) / sizeof(collectors[0]);
