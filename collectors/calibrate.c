/* SPDX-License-Identifier: Apache-2.0 */
/* calibrate.c: probe perftop's own empty functions and take the time. */
#include "collectors/calibrate.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <link.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "collectors/uprobe_link.h"

/* Many short batches: the best one is free of interrupts even on a busy machine. */
enum { CALIBRATE_BATCHES = 8, CALIBRATE_CALLS = 6, CALIBRATE_CALLS_STEPPED = 2 };

/*
 * What a run of the recording program adds to an empty one, ns: two runs with histogram for a
 * latency, one for a count. Replaced by a measurement once the program is loaded.
 */
static const double program_latency_ns = 100, program_count_ns = 30;

/* Emulated by every kernel that has uprobe_multi, see arch/x86/kernel/uprobes.c. */
static const uint32_t always_emulated =
	1u << INSN_PUSH | 1u << INSN_NOP1 | 1u << INSN_JMP | 1u << INSN_JCC | 1u << INSN_CALL;

#if defined(__x86_64__)
/* One function a kind; aligned so that none crosses a page, which would rule out a call patch. */
#define STUB(name, body)                                                                        \
	__asm__(".pushsection .text\n.balign 16\n.type " #name ", @function\n" #name ":\n" body \
		"\nret\n.size " #name ", .-" #name "\n.popsection\n");                          \
	void name(void)
STUB(calibrate_stub_push, "push %rbp\npop %rbp");
STUB(calibrate_stub_nop1, "nop");
STUB(calibrate_stub_nop5, ".byte 0x0f, 0x1f, 0x44, 0, 0");
STUB(calibrate_stub_nopl, ".byte 0x0f, 0x1f, 0x40, 0");
STUB(calibrate_stub_jmp, "jmp 1f\n1:");
STUB(calibrate_stub_jcc, "jne 1f\n1:");
STUB(calibrate_stub_call, "call 1f\nret\n1:");
STUB(calibrate_stub_other, "mov %rdi, %rax");

static void (*const stubs[INSN_KINDS])(void) = {
	[INSN_PUSH] = calibrate_stub_push, [INSN_NOP1] = calibrate_stub_nop1,
	[INSN_NOP5] = calibrate_stub_nop5, [INSN_NOPL] = calibrate_stub_nopl,
	[INSN_JMP] = calibrate_stub_jmp,   [INSN_JCC] = calibrate_stub_jcc,
	[INSN_CALL] = calibrate_stub_call, [INSN_OTHER] = calibrate_stub_other,
};
#else
static void calibrate_stub(void)
{
	__asm__ volatile("");
}
static void (*const stubs[INSN_KINDS])(void) = {[INSN_OTHER] = calibrate_stub};
#endif

struct stub_search {
	uint64_t addr, offset;
	bool found;
};

/* The main program comes first; nothing else holds a stub. */
static int find_offset(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct stub_search *f = arg;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uint64_t at = f->addr - info->dlpi_addr;

		if (ph->p_type == PT_LOAD && at >= ph->p_vaddr && at < ph->p_vaddr + ph->p_filesz) {
			f->offset = at - ph->p_vaddr + ph->p_offset;
			f->found = true;
			return 1;
		}
	}
	return 1;
}

static int stub_offset(enum insn_kind kind, uint64_t *offset)
{
	struct stub_search f = {.addr = (uint64_t)(uintptr_t)stubs[kind]};

	if (!f.addr)
		return -ENOTSUP;
	dl_iterate_phdr(find_offset, &f);
	*offset = f.offset;
	return f.found ? 0 : -ENOENT;
}

static double time_calls(void (*fn)(void), uint32_t calls)
{
	double best = 0;

	fn(); /* the first hit pays for copying the page, and for patching */
	for (int b = 0; b < CALIBRATE_BATCHES; b++) {
		uint64_t begin = clock_mono_ns();
		double ns;

		for (uint32_t i = 0; i < calls; i++)
			fn();
		ns = (double)(clock_mono_ns() - begin) / calls;
		if (!b || ns < best)
			best = ns;
	}
	return best;
}

int calibrate_program(int prog_fd, uint32_t link_type, uint64_t cookie, enum insn_kind kind,
		      uint32_t calls, double *ns)
{
	uint64_t offset;
	struct uprobe_link link = {.path = "/proc/self/exe",
				   .offsets = &offset,
				   .cookies = &cookie,
				   .n = 1,
				   .pid = getpid(),
				   .type = link_type};
	int fd, err = stub_offset(kind, &offset);

	if (err)
		return err;
	fd = uprobe_link_open(prog_fd, &link);
	if (fd < 0)
		return fd;
	*ns = time_calls(stubs[kind], calls);
	uprobe_link_close_later(fd);
	return 0;
}

/* All entries in one link: taking a link off is what costs. */
static int measure_entries(struct calibration *cal)
{
	uint64_t offsets[INSN_KINDS];
	struct uprobe_link link = {.path = "/proc/self/exe",
				   .offsets = offsets,
				   .pid = getpid(),
				   .type = UPROBE_LINK_MULTI};
	int prog = bpf_load_empty(UPROBE_LINK_MULTI), fd;

	if (prog < 0)
		return prog;
	for (int kind = 0; kind < INSN_KINDS; kind++)
		if (!stub_offset(kind, &offsets[link.n]))
			link.n++;
	fd = link.n ? uprobe_link_open(prog, &link) : -ENOTSUP;
	close(prog);
	if (fd < 0)
		return fd;
	for (int kind = 0; kind < INSN_KINDS; kind++)
		if (stubs[kind])
			cal->entry_ns[kind] =
				time_calls(stubs[kind], kind == INSN_OTHER ? CALIBRATE_CALLS_STEPPED
									   : CALIBRATE_CALLS);
	uprobe_link_close_later(fd);
	return 0;
}

static void measure_return(struct calibration *cal)
{
	enum insn_kind kind = stubs[INSN_PUSH] ? INSN_PUSH : INSN_OTHER;
	int prog = bpf_load_empty(UPROBE_LINK_SESSION);
	double ns;

	if (prog < 0)
		return;
	if (!calibrate_program(prog, UPROBE_LINK_SESSION, 0, kind, CALIBRATE_CALLS, &ns) &&
	    ns > cal->entry_ns[kind])
		cal->return_ns = ns - cal->entry_ns[kind];
	close(prog);
}

int calibrate_run(struct calibration *cal)
{
	uint64_t begin = clock_mono_ns();
	double step;
	int err;

	*cal = (struct calibration){.emulated = always_emulated};
	err = measure_entries(cal);
	if (err)
		return err;
	measure_return(cal);
	cal->measured = true;
	step = cal->entry_ns[INSN_OTHER];
	/* A step is a second exception at least: what costs clearly less was not stepped. */
	for (int kind = 0; kind < INSN_OTHER; kind++)
		if (cal->entry_ns[kind] > 0 && cal->entry_ns[kind] < 0.75 * step)
			cal->emulated |= 1u << kind;
	cal->took_ns = clock_mono_ns() - begin;
	return 0;
}

double calibrate_cost_ns(const struct calibration *cal, enum insn_kind kind, bool with_return)
{
	if (!cal->measured || (unsigned int)kind >= INSN_KINDS)
		return 0;
	return cal->entry_ns[kind] +
	       (with_return ? cal->return_ns + program_latency_ns : program_count_ns);
}

double calibrate_syscall_ns(void)
{
	enum { TRIES = 8, CALLS = 100 };
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < TRIES; i++) {
		uint64_t begin = clock_mono_ns(), ns;

		for (int k = 0; k < CALLS; k++)
			syscall(SYS_getppid);
		ns = clock_mono_ns() - begin;
		best = ns < best ? ns : best;
	}
	return (double)best / CALLS;
}
