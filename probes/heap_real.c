/* SPDX-License-Identifier: Apache-2.0 */
/* heap_real.c: finds the allocator underneath, and stands in for it while it is looked for. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probes/heap_inner.h"

struct heap_real heap_real;

/*
 * Memory for calls that come from within dlsym(). It is never given back: a free finds it by the
 * filter, as it finds samples.
 */
static struct {
	_Alignas(64) char bytes[32 << 10];
	size_t used;
} boot;

struct boot_block {
	size_t bytes, next; /* next: offset of the block after this one */
};

void *heap_boot_alloc(size_t align, size_t bytes)
{
	size_t need, at, old = __atomic_load_n(&boot.used, __ATOMIC_RELAXED);
	struct boot_block *b;

	align = align < sizeof(*b) ? sizeof(*b) : align;
	do {
		at = (old + sizeof(*b) + align - 1) & ~(align - 1);
		need = (bytes + sizeof(*b) - 1) & ~(sizeof(*b) - 1);
		if (need < bytes || need > sizeof(boot.bytes) || at > sizeof(boot.bytes) - need)
			return NULL;
	} while (!__atomic_compare_exchange_n(&boot.used, &old, at + need, 0, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	b = (struct boot_block *)(boot.bytes + at) - 1;
	b->bytes = bytes;
	__atomic_store_n(heap_filter_of(b + 1), UINT8_MAX, __ATOMIC_RELAXED);
	return b + 1; /* fresh memory of the program's: zero */
}

int heap_boot_owns(const void *p)
{
	return (uintptr_t)p - (uintptr_t)boot.bytes < sizeof(boot.bytes);
}

size_t heap_boot_size(const void *p)
{
	return ((const struct boot_block *)p - 1)->bytes;
}

void heap_boot_mark(void)
{
	size_t used = __atomic_load_n(&boot.used, __ATOMIC_RELAXED);

	/* Where blocks begin is not kept: every place that one could be at. */
	for (size_t at = 0; at < used; at += sizeof(struct boot_block))
		heap_filter[heap_filter_of(boot.bytes + at) - heap_filter] = UINT8_MAX;
	*heap_filter_of(NULL) = UINT8_MAX;
}

/* Behind this library in the order of loading; if that was late, what its slots led to before. */
static void *find(const char *name, int late)
{
	return late ? heap_port_original(name) : dlsym(RTLD_NEXT, name);
}

static void *libc_malloc; /* glibc's own, whatever stands in front of it */

/* Whether the word before the memory says what malloc_usable_size does, for chunks of each kind. */
static int chunks_are_glibc(void)
{
	static const size_t sizes[] = {1, 24, 25, 100, 1000, 5000, 70000, 300000};
	int same = 1;

	if (!libc_malloc || libc_malloc != (void *)heap_real.malloc || !heap_real.usable_size)
		return 0;
	for (size_t i = 0; same && i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		void *p = heap_real.malloc(sizes[i]);

		same = p && heap_chunk_usable(p) == heap_real.usable_size(p);
		heap_real.free(p);
	}
	return same;
}

static void find_all(int late)
{
	struct heap_real r = {
		.malloc = find("malloc", late),
		.calloc = find("calloc", late),
		.realloc = find("realloc", late),
		.free = find("free", late),
		.memalign = find("memalign", late),
		.aligned_alloc = find("aligned_alloc", late),
		.posix_memalign = find("posix_memalign", late),
		.valloc = find("valloc", late),
		.pvalloc = find("pvalloc", late),
		.usable_size = find("malloc_usable_size", late),
		.late = late,
	};

	if (!r.malloc || !r.calloc || !r.realloc || !r.free) {
		static const char text[] = "libperftop_heap: no malloc to pass calls on to\n";

		if (write(2, text, sizeof(text) - 1) < 0)
			_exit(127);
		abort();
	}
	/* One by one: another thread may be past this, and have set the rest. */
	heap_real.calloc = r.calloc;
	heap_real.realloc = r.realloc;
	heap_real.free = r.free;
	heap_real.memalign = r.memalign;
	heap_real.aligned_alloc = r.aligned_alloc;
	heap_real.posix_memalign = r.posix_memalign;
	heap_real.valloc = r.valloc;
	heap_real.pvalloc = r.pvalloc;
	heap_real.usable_size = r.usable_size;
	heap_real.late = r.late;
	__atomic_store_n(&heap_real.malloc, r.malloc, __ATOMIC_RELEASE);
}

/*
 * Is this library among those that the program was started with? RTLD_NEXT does not tell: behind a
 * library that came late it finds what that one was linked with, glibc's malloc under jemalloc's.
 */
static int is_preloaded(void)
{
	void *program = dlopen(NULL, RTLD_LAZY | RTLD_NOLOAD);
	int found = program && dlsym(program, INJECT_PORT_SYMBOL);

	if (program)
		dlclose(program);
	if (!found)
		dlerror(); /* the program's next one is not to be about this */
	return found;
}

int heap_real_prepare(void)
{
	libc_malloc = dlsym(RTLD_DEFAULT, "__libc_malloc");
	if (!is_preloaded())
		return 0;
	__atomic_store_n(&perftop_heap_port.active, 1, __ATOMIC_RELAXED);
	return 1;
}

int heap_real_find(void)
{
	static uint32_t state; /* 0: not looked for, 1: being looked for, 2: found */
	uint32_t none = 0;
	int late;

	if (HEAP_LIKELY(__atomic_load_n(&state, __ATOMIC_ACQUIRE) == 2))
		return 1;
	/* Hooked in late: nothing to search, so no thread has to wait for another. */
	late = heap_port_original("malloc") != NULL;
	if (late && !heap_real.malloc)
		find_all(1);
	if (!__atomic_compare_exchange_n(&state, &none, 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return none == 2;
	if (!late) {
		heap_real_prepare();
		find_all(0);
	}
	heap_real.size_from = chunks_are_glibc()      ? HEAP_SIZE_CHUNK
			      : heap_real.usable_size ? HEAP_SIZE_CALL
						      : HEAP_SIZE_NONE;
	heap_real.tell = heap_told_find();
	__atomic_store_n(&state, 2, __ATOMIC_RELEASE);
	return 1;
}

void heap_real_name(char *name, size_t size)
{
	Dl_info info;
	const char *base;

	memset(name, 0, size);
	if (!dladdr((void *)heap_real.malloc, &info) || !info.dli_fname)
		return;
	base = strrchr(info.dli_fname, '/');
	strncpy(name, base ? base + 1 : info.dli_fname, size - 1);
}
