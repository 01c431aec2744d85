/* SPDX-License-Identifier: Apache-2.0 */
/* heap_port.c: where perftop hooks the library into a process that runs already. */
#include <malloc.h>
#include <stdlib.h>

#include "probes/heap_inner.h"

void cfree(void *p);

#define HOOK(f)                       \
	{                             \
#f, (void *)(f), NULL \
	}

/* Bound to this library's own functions when it is linked, not to the first of the name. */
HEAP_EXPORT struct inject_port perftop_heap_port = {
	.version = INJECT_PORT_VERSION,
	.size = sizeof(struct inject_port),
	.nhooks = 12,
	.hooks = {HOOK(malloc), HOOK(calloc), HOOK(realloc), HOOK(free), HOOK(memalign),
		  HOOK(aligned_alloc), HOOK(posix_memalign), HOOK(valloc), HOOK(pvalloc),
		  HOOK(reallocarray), HOOK(cfree), HOOK(malloc_usable_size)},
};

void *heap_port_original(const char *name)
{
	for (uint32_t i = 0; i < perftop_heap_port.nhooks; i++)
		if (!__builtin_strcmp(perftop_heap_port.hooks[i].name, name))
			return __atomic_load_n(&perftop_heap_port.hooks[i].original,
					       __ATOMIC_RELAXED);
	return NULL;
}
