/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_machine.c: which CPU this is, and the ceilings that kernels are held against. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kernels/benchmark/benchmark_report.h"
#include "kernels/kernels.h"

/* "model name : X" of /proc/cpuinfo; on ARM, which has none there, the architecture. */
static void read_cpu_name(char *name, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256], *at;
	struct utsname u;

	name[0] = '\0';
	while (f && !name[0] && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "model name", 10) != 0 || !(at = strchr(line, ':')))
			continue;
		at += strspn(at, ": \t");
		at[strcspn(at, "\n")] = '\0';
		snprintf(name, size, "%s", at);
	}
	if (f)
		fclose(f);
	if (!name[0] && !uname(&u))
		snprintf(name, size, "%s", u.machine);
}

/* What sysconf knows, or something usual: virtual machines and ARM often say 0. */
static size_t cache_bytes(int name, size_t usual)
{
	long bytes = sysconf(name);

	return bytes > 0 ? (size_t)bytes : usual;
}

/*
 * The L3 that one CPU reaches, "32768K" after L1 data, L1 code and L2. Of a CPU with several glibc
 * tells their sum, and a quarter of that is memory.
 */
static size_t l3_bytes(void)
{
	FILE *f = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "re");
	unsigned long kib = 0;

	if (f && fscanf(f, "%luK", &kib) != 1)
		kib = 0;
	if (f)
		fclose(f);
	return kib && kib < SIZE_MAX >> 10 ? kib << 10
					   : cache_bytes(_SC_LEVEL3_CACHE_SIZE, 8 << 20);
}

/* GB/s of reading `bytes` again and again, the best pass. */
static double read_gbytes_s(const struct kernel *k, const float *p, size_t bytes,
			    uint64_t budget_ns)
{
	const uint64_t end = perftop_now_ns() + budget_ns;
	/* A pass over a small buffer is shorter than the clock tells: at least 1 MiB a reading. */
	const size_t passes = bytes < 1 << 20 ? (1 << 20) / bytes : 1;
	uint64_t t0, t1;
	double best = 0;

	k->run.read(p, bytes / sizeof(*p));
	do {
		double got;

		t0 = perftop_now_ns();
		for (size_t i = 0; i < passes; i++)
			k->run.read(p, bytes / sizeof(*p));
		t1 = perftop_now_ns();
		got = t1 > t0 ? (double)(passes * bytes) / (double)(t1 - t0) : 0;
		best = got > best ? got : best;
	} while (t1 < end);
	return best;
}

/*
 * Half of L1 and L2, a quarter of L3 (which others share), four times L3 for memory, at most
 * 256 MiB. Huge pages where there are any: it is the memory that is to be measured, not the TLB.
 */
static void measure_reads(struct benchmark_machine *m, const struct kernel *k, bool quick)
{
	const size_t l1 = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10);
	const size_t l2 = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 512 << 10);
	const size_t l3 = l3_bytes();
	const size_t most = quick ? 32 << 20 : 256 << 20;
	const uint64_t budget_ns = quick ? 5000000 : 50000000;
	size_t size = 4 * l3 < most ? 4 * l3 : most;
	float *p;

	size = size < 2 * l2 ? 2 * l2 : size;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return;
	madvise(p, size, MADV_HUGEPAGE);
	memset(p, 1, size);
	m->l1_gbytes_s = read_gbytes_s(k, p, l1 / 2, budget_ns);
	m->l2_gbytes_s = read_gbytes_s(k, p, l2 / 2, budget_ns);
	m->l3_gbytes_s = read_gbytes_s(k, p, l3 / 4 < size ? l3 / 4 : size, budget_ns);
	m->dram_gbytes_s = read_gbytes_s(k, p, size, budget_ns);
	munmap(p, size);
}

void benchmark_machine_measure(struct benchmark_machine *m, const struct benchmark_options *o)
{
	const struct kernel *k = kernels_select("read_sum", o->isa);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	*m = (struct benchmark_machine){.isa = o->isa, .cpus = cpus > 0 ? (uint32_t)cpus : 1};
	read_cpu_name(m->cpu, sizeof(m->cpu));
	isa_describe(m->features, sizeof(m->features));
	for (uint32_t i = 0; i < kernels_count; i++)
		if (kernels[i].kind == KERNEL_peak && kernels_supported(&kernels[i]))
			m->peak_gflops[kernels[i].isa] = peak_measure_gflops(
				kernels[i].run.peak, o->quick ? 2000000 : 20000000);
	if (k)
		measure_reads(m, k, o->quick);
}
