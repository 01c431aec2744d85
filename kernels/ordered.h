/* SPDX-License-Identifier: Apache-2.0 */
/* ordered.h: loads and stores with the ordering that publishing data needs, on CK's primitives. */
#ifndef KERNELS_ORDERED_H
#define KERNELS_ORDERED_H

#include <stdbool.h>
#include <stdint.h>

#include <ck_pr.h>

/*
 * ThreadSanitizer sees neither CK's assembly nor its fences (CK's builtin port loads and stores
 * through plain volatile pointers), so sanitized builds use the compiler's atomics instead.
 */
static inline uint64_t ordered_load_64(const uint64_t *p)
{
#if defined(__SANITIZE_THREAD__)
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
#else
	uint64_t v = ck_pr_load_64(p);

	ck_pr_fence_acquire(); /* what follows does not move before the load */
	return v;
#endif
}

static inline void ordered_store_64(uint64_t *p, uint64_t v)
{
#if defined(__SANITIZE_THREAD__)
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
#else
	ck_pr_fence_release(); /* what precedes does not move after the store */
	ck_pr_store_64(p, v);
#endif
}

/* A full fence: the store before it is seen by others before what follows is read. */
static inline void ordered_store_then_load(void)
{
#if defined(__SANITIZE_THREAD__) && defined(__x86_64__)
	__asm__ volatile("mfence" ::: "memory");
#else
	ck_pr_fence_strict_store_load();
#endif
}

/* Returns the value before adding. */
static inline uint64_t ordered_fetch_add_64(uint64_t *p, uint64_t n)
{
#if defined(__SANITIZE_THREAD__)
	return __atomic_fetch_add(p, n, __ATOMIC_RELAXED);
#else
	return ck_pr_faa_64(p, n);
#endif
}

/* *p from *expected to `to`; on failure *expected becomes what is there. */
static inline bool ordered_cas_64(uint64_t *p, uint64_t *expected, uint64_t to)
{
#if defined(__SANITIZE_THREAD__)
	return __atomic_compare_exchange_n(p, expected, to, false, __ATOMIC_RELAXED,
					   __ATOMIC_RELAXED);
#else
	return ck_pr_cas_64_value(p, *expected, to, expected);
#endif
}

#endif
