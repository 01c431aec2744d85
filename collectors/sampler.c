/* SPDX-License-Identifier: Apache-2.0 */
/* sampler.c: CPU samples from the eBPF program, on every CPU. */
#include "collectors/sampler.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/sampler_priv.h"
#include "perftop.skel.h"
#include "probes/contract.h"

struct sampler_bpf {
	struct sampler base;
	struct perftop_bpf *skel;
	struct ring_buffer *ring;
	struct bpf_link **links;
	uint32_t nlinks;
	sampler_fn *fn;
	void *arg;
};

void sampler_free(struct sampler *s)
{
	if (s)
		s->free(s);
}

void sampler_drain(struct sampler *s, sampler_fn *fn, void *arg)
{
	s->drain(s, fn, arg);
}

void sampler_go_deep(struct sampler *s)
{
	if (s->go_deep)
		s->go_deep(s);
}

int sampler_add(struct sampler *s, pid_t pid)
{
	return s->add ? s->add(s, pid) : 0;
}

void sampler_follow_threads(struct sampler *s)
{
	if (s->follow_threads)
		s->follow_threads(s);
}

uint64_t sampler_lost(const struct sampler *s)
{
	return s->lost(s);
}

uint64_t sampler_taken(const struct sampler *s)
{
	return s->taken(s);
}

int sampler_fd(const struct sampler *s)
{
	return s->fd;
}

void sampler_set_registers(struct unwind_regs *r, uint64_t ip, uint64_t sp, uint64_t bp,
			   const uint64_t *saved)
{
	memset(r, 0, sizeof(*r));
#if defined(__aarch64__)
	/* DWARF numbers are those of the registers; sp 31, pc 32. */
	memcpy(&r->r[19], saved, 10 * sizeof(*saved));
	r->r[29] = bp;
	r->r[30] = saved[10];
	r->r[31] = sp;
	r->r[32] = ip;
#else
	/* DWARF numbers of x86-64: rbx 3, rbp 6, rsp 7, r12..r15 12..15, rip 16. */
	r->r[3] = saved[0];
	r->r[6] = bp;
	r->r[7] = sp;
	memcpy(&r->r[12], saved + 1, 4 * sizeof(*saved));
	r->r[16] = ip;
#endif
}

void sampler_registers(struct unwind_regs *r, const struct contract_sample *s)
{
	sampler_set_registers(r, s->ip, s->sp, s->bp, (const uint64_t *)s->regs);
}

#if defined(__x86_64__)
/* The program goes on at ip, with its stack from sp on. */
static void go_on_at(struct sampler_sample *s, uint64_t ip, uint64_t above)
{
	s->slice = (const char *)s->slice + above;
	s->slice_bytes -= above;
	s->regs.r[7] += above;
	s->regs.r[16] = ip;
}

/*
 * arch/x86/kernel/uprobes.c: it pushes three registers, calls the kernel, pops two at +13 and +15,
 * and returns at +16. Before the kernel is done the call is still known; then its return address
 * lies where the third register was.
 */
void sampler_leave_trampoline(struct sampler_sample *s, uint64_t offset)
{
	uint64_t above = s->return_at + 8 - s->regs.r[7], ip;

	if (s->return_ip && above <= 24 && above <= s->slice_bytes) {
		go_on_at(s, s->return_ip, above);
		return;
	}
	above = offset == 13 ? 16 : offset == 15 ? 8 : 0;
	if (offset < 13 || offset > 16 || s->slice_bytes < above + sizeof(ip))
		return;
	memcpy(&ip, (const char *)s->slice + above, sizeof(ip));
	go_on_at(s, ip, above + sizeof(ip));
}
#else
void sampler_leave_trampoline(struct sampler_sample *s, uint64_t offset)
{
	(void)s;
	(void)offset;
}
#endif

static int on_sample(void *ctx, void *data, size_t size)
{
	struct sampler_bpf *s = ctx;
	const struct contract_sample *in = data;
	struct sampler_sample out;

	if (size < sizeof(*in) || in->slice > size - sizeof(*in) || in->nkernel > CONTRACT_KSTACK)
		return 0;
	out.pid = in->pid;
	out.tid = in->tid;
	out.time_ns = in->time_ns;
	out.parent = in->parent;
	out.in_kernel = in->in_kernel;
	out.kernel_ips = (const uint64_t *)in->kstack;
	out.nkernel = in->nkernel;
	sampler_registers(&out.regs, in);
	out.slice = in + 1;
	out.slice_bytes = in->slice;
	out.return_ip = in->return_ip;
	out.return_at = in->return_at;
	s->fn(s->arg, &out);
	return 0;
}

static void bpf_drain(struct sampler *base, sampler_fn *fn, void *arg)
{
	struct sampler_bpf *s = (struct sampler_bpf *)base;

	s->fn = fn;
	s->arg = arg;
	ring_buffer__consume(s->ring);
}

static uint64_t bpf_lost(const struct sampler *base)
{
	return ((const struct sampler_bpf *)base)->skel->bss->samples_lost;
}

static uint64_t bpf_taken(const struct sampler *base)
{
	return ((const struct sampler_bpf *)base)->skel->bss->samples_taken;
}

static void bpf_go_deep(struct sampler *base)
{
	((struct sampler_bpf *)base)->skel->data->sample_slice_bytes = CONTRACT_DEEP_BYTES;
}

static void bpf_sampler_free(struct sampler *base)
{
	struct sampler_bpf *s = (struct sampler_bpf *)base;

	for (uint32_t i = 0; i < s->nlinks; i++)
		bpf_link__destroy(s->links[i]);
	ring_buffer__free(s->ring);
	free(s->links);
	free(s);
}

static int open_event(uint32_t cpu, uint32_t hz)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.freq = 1,
		.sample_freq = hz,
	};
	long fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : (int)fd;
}

/* One event a CPU: events a thread cost the target twice as much. */
static int attach_cpus(struct sampler_bpf *s, struct bpf_program *p, uint32_t ncpu, uint32_t hz)
{
	int err = -ENODEV;

	for (uint32_t cpu = 0; cpu < ncpu; cpu++) {
		int fd = open_event(cpu, hz);

		if (fd < 0) {
			/* A CPU that is possible but offline has no events. */
			if (fd != -ENODEV)
				err = fd;
			continue;
		}
		s->links[s->nlinks] = bpf_program__attach_perf_event(p, fd);
		if (s->links[s->nlinks]) {
			s->nlinks++;
		} else {
			err = -errno;
			close(fd);
		}
	}
	return s->nlinks ? 0 : err;
}

struct sampler *sampler_new_bpf(struct bpf *b, uint32_t hz, char *why, size_t why_size)
{
	struct sampler_bpf *s;
	struct bpf_program *p;
	int err = bpf_program_fd(b, "on_cpu_clock", why, why_size);

	if (err < 0)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->base = (struct sampler){.free = bpf_sampler_free,
				   .drain = bpf_drain,
				   .lost = bpf_lost,
				   .taken = bpf_taken,
				   .go_deep = bpf_go_deep,
				   .fd = -1};
	s->skel = bpf_skeleton(b);
	p = s->skel->progs.on_cpu_clock;
	s->links = calloc(bpf_ncpu(b), sizeof(struct bpf_link *));
	s->ring = ring_buffer__new(bpf_map__fd(s->skel->maps.samples), on_sample, s, NULL);
	err = s->links && s->ring ? attach_cpus(s, p, bpf_ncpu(b), hz) : -ENOMEM;
	if (err) {
		snprintf(why, why_size, "perf_event_open(cpu-clock): %s", strerror(-err));
		bpf_sampler_free(&s->base);
		return NULL;
	}
	s->base.fd = ring_buffer__epoll_fd(s->ring);
	return &s->base;
}
