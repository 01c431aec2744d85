/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_maps.c: any text for /proc/PID/maps, and any name for a demangler. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/demangle.h"
#include "collectors/maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(void *ctx, const struct maps_line *l)
{
	char nice[64];

	if (l->end <= l->start)
		abort();
	*(size_t *)ctx += strlen(l->path);
	/* Paths serve as mangled names: they are as wild. */
	demangle_name(l->path, nice, sizeof(nice));
	if (!memchr(nice, '\0', sizeof(nice)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of exactly this size, so that a sanitizer sees a byte read behind it. */
	char *text = malloc(size);
	size_t length = 0;

	if (!text && size)
		return 0;
	if (size)
		memcpy(text, data, size);
	if (maps_parse(text, size, check_line, &length) > size || length > size)
		abort();
	free(text);
	return 0;
}
