/* SPDX-License-Identifier: Apache-2.0 */
/* isa.c: detection of instruction sets. */
#include "kernels/isa.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const char *const isa_names[ISA_COUNT] = {
	[ISA_SCALAR] = "scalar",
	[ISA_NEON] = "neon",
	[ISA_AVX2] = "avx2",
	[ISA_AVX512] = "avx512",
};

#if defined(__x86_64__)
/*
 * Extensions of the sets found already, straight from CPUID: not every compiler's builtin knows
 * their names. They use the registers of those sets, so what the kernel saves was asked there.
 */
static unsigned int x86_extras(unsigned int have)
{
	unsigned int a, b, c, d, f = ISA_NONE, leaves = 0;

	if (!(have & ISA_HAS_AVX2_FMA))
		return f;
	if (__get_cpuid(1, &a, &b, &c, &d) && c & 1u << 29)
		f |= ISA_HAS_F16C;
	if (__get_cpuid_count(7, 0, &leaves, &b, &c, &d) && have & ISA_HAS_AVX512 && c & 1u << 11)
		f |= ISA_HAS_AVX512_VNNI;
	if (leaves < 1 || !__get_cpuid_count(7, 1, &a, &b, &c, &d))
		return f;
	if (a & 1u << 4)
		f |= ISA_HAS_AVX_VNNI;
	if (have & ISA_HAS_AVX512 && a & 1u << 5)
		f |= ISA_HAS_AVX512_BF16;
	return f;
}
#endif

unsigned int isa_features(void)
{
	unsigned int f = ISA_NONE;

#if defined(__x86_64__)
	/* The builtin reads XCR0 too: a feature whose registers the kernel does not save is absent.
	 */
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		f |= ISA_HAS_AVX2_FMA;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
		f |= ISA_HAS_AVX512;
	f |= x86_extras(f);
#elif defined(__aarch64__)
	f |= ISA_HAS_NEON;
#endif
#if defined(KERNELS_EMULATED)
	/* Their variants are loops in this build. */
	f |= ISA_HAS_NEON | ISA_HAS_AVX512 | ISA_HAS_AVX_VNNI | ISA_HAS_AVX512_VNNI |
	     ISA_HAS_AVX512_BF16;
#endif
	return f;
}

void isa_describe(char *text, size_t size)
{
	const unsigned int f = isa_features();
	const struct {
		const char *name;
		bool has;
	} all[] = {
#if defined(__x86_64__)
		{"sse4.1", __builtin_cpu_supports("sse4.1")},
		{"sse4.2", __builtin_cpu_supports("sse4.2")},
		{"avx2", __builtin_cpu_supports("avx2")},
		{"fma", __builtin_cpu_supports("fma")},
		{"avx512f", __builtin_cpu_supports("avx512f")},
		{"avx512bw", __builtin_cpu_supports("avx512bw")},
		{"avx512vl", __builtin_cpu_supports("avx512vl")},
		{"avx512dq", __builtin_cpu_supports("avx512dq")},
#endif
		{"f16c", f & ISA_HAS_F16C},
		{"avx-vnni", f & ISA_HAS_AVX_VNNI},
		{"avx512-vnni", f & ISA_HAS_AVX512_VNNI},
		{"avx512-bf16", f & ISA_HAS_AVX512_BF16},
		{"neon", f & ISA_HAS_NEON},
	};
	size_t used = 0;

	if (size)
		text[0] = '\0';
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i].has && used < size)
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "",
						 all[i].name);
}

bool isa_supports(enum isa isa)
{
	static const unsigned int need[ISA_COUNT] = {
		[ISA_NEON] = ISA_HAS_NEON,
		[ISA_AVX2] = ISA_HAS_AVX2_FMA,
		[ISA_AVX512] = ISA_HAS_AVX512,
	};

	return (unsigned int)isa < ISA_COUNT && (isa_features() & need[isa]) == need[isa];
}

enum isa isa_best(void)
{
	for (int isa = ISA_COUNT - 1; isa > ISA_SCALAR; isa--)
		if (isa_supports((enum isa)isa))
			return (enum isa)isa;
	return ISA_SCALAR;
}

const char *isa_name(enum isa isa)
{
	return (unsigned int)isa < ISA_COUNT ? isa_names[isa] : "?";
}

int isa_choose(const char *text, enum isa *isa)
{
	if (!text || !*text || !strcmp(text, "auto"))
		text = getenv("PERFTOP_ISA");
	if (!text || !*text || !strcmp(text, "auto")) {
		*isa = isa_best();
		return 0;
	}
	for (int i = 0; i < ISA_COUNT; i++) {
		if (strcmp(text, isa_names[i]) != 0)
			continue;
		if (!isa_supports((enum isa)i))
			return -ENOTSUP;
		*isa = (enum isa)i;
		return 0;
	}
	return -EINVAL;
}
