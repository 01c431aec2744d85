/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_elf.c: every question that can be put to an ELF file, put to bytes of an attacker. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collectors/demangle.h"
#include "collectors/elf_image.h"
#include "collectors/unwind_row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask_at(struct elf_image *e, uint64_t vaddr)
{
	struct unwind_row row;
	struct unwind_signal signal;
	struct elf_hit hit;
	uint64_t offset, back;
	char name[256], nice[128];
	uint8_t code[32];

	elf_image_read(e, vaddr, code, sizeof(code));
	if (!elf_image_offset_of(e, vaddr, &offset))
		elf_image_vaddr_of(e, offset, &back);
	if (!elf_image_find(e, vaddr, &hit) && !elf_image_name(e, &hit, name, sizeof(name)))
		demangle_name(name, nice, sizeof(nice));
	if (elf_image_cfi(e))
		unwind_row_read(elf_image_cfi(e), vaddr, &row, &signal);
}

static void ask_all(struct elf_image *e)
{
	const struct elf_function *f;
	const struct elf_usdt *u;
	uint64_t bias;
	volatile size_t length = 0;
	uint32_t n;

	elf_image_machine(e);
	elf_image_is_go(e);
	elf_image_go_has_registers(e);
	elf_image_stripped(e);
	elf_image_bias(e, 0x400000, 0x1000, &bias);
	if (!elf_image_functions(e, &f, &n)) {
		for (uint32_t i = 0; i < n; i++)
			length += strlen(f[i].name);
		for (uint32_t i = 0; i < n && i < 64; i++) {
			ask_at(e, f[i].vaddr);
			ask_at(e, f[i].vaddr + f[i].size / 2);
		}
	}
	if (!elf_image_usdts(e, &u, &n))
		for (uint32_t i = 0; i < n; i++)
			length += strlen(u[i].provider) + strlen(u[i].name) + strlen(u[i].args);
	for (uint64_t v = 0; v < 0x4000; v += 0x101)
		ask_at(e, v);
	ask_at(e, UINT64_MAX);
	(void)length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_image *e;
	int err, fd;

	e = elf_image_open_memory(data, size, "memory", &err);
	if (e)
		ask_all(e);
	elf_image_free(e);
	/* As a file, and one that is cut short while it is open. */
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	e = elf_image_open_fd(dup(fd), "file", &err);
	if (e && ftruncate(fd, (off_t)(size / 2)) == 0)
		ask_all(e);
	elf_image_free(e);
	close(fd);
	return 0;
}
