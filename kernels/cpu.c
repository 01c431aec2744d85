/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c: detection of instruction sets. */
#include "kernels/cpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const isa_names[CPU_ISA_COUNT] = {
	[CPU_SCALAR] = "scalar",
	[CPU_NEON] = "neon",
	[CPU_AVX2] = "avx2",
	[CPU_AVX512] = "avx512",
};

unsigned int cpu_features(void)
{
	unsigned int f = CPU_NONE;

#if defined(__x86_64__)
	/* The builtin reads XCR0 too: a feature whose registers the kernel does not save is absent.
	 */
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		f |= CPU_HAS_AVX2_FMA;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
		f |= CPU_HAS_AVX512;
#elif defined(__aarch64__)
	f |= CPU_HAS_NEON;
#endif
	return f;
}

bool cpu_supports(enum cpu_isa isa)
{
	static const unsigned int need[CPU_ISA_COUNT] = {
		[CPU_NEON] = CPU_HAS_NEON,
		[CPU_AVX2] = CPU_HAS_AVX2_FMA,
		[CPU_AVX512] = CPU_HAS_AVX512,
	};

	return (unsigned int)isa < CPU_ISA_COUNT && (cpu_features() & need[isa]) == need[isa];
}

enum cpu_isa cpu_best(void)
{
	for (int isa = CPU_ISA_COUNT - 1; isa > CPU_SCALAR; isa--)
		if (cpu_supports((enum cpu_isa)isa))
			return (enum cpu_isa)isa;
	return CPU_SCALAR;
}

const char *cpu_isa_name(enum cpu_isa isa)
{
	return (unsigned int)isa < CPU_ISA_COUNT ? isa_names[isa] : "?";
}

int cpu_choose_isa(const char *text, enum cpu_isa *isa)
{
	if (!text || !*text || !strcmp(text, "auto"))
		text = getenv("PERFTOP_ISA");
	if (!text || !*text || !strcmp(text, "auto")) {
		*isa = cpu_best();
		return 0;
	}
	for (int i = 0; i < CPU_ISA_COUNT; i++) {
		if (strcmp(text, isa_names[i]))
			continue;
		if (!cpu_supports((enum cpu_isa)i))
			return -ENOTSUP;
		*isa = (enum cpu_isa)i;
		return 0;
	}
	return -EINVAL;
}
