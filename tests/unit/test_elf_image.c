/* SPDX-License-Identifier: Apache-2.0 */
/* test_elf_image.c: functions, markers and offsets of ELF files, real and broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collectors/elf_image.h"

int test_elf_marked(int x);
extern unsigned short test_elf_semaphore;

__asm__(".pushsection .probes,\"aw\",\"progbits\"\n"
	".globl test_elf_semaphore\n"
	"test_elf_semaphore: .2byte 0\n"
	".popsection\n");

/* The note of one marker, as sys/sdt.h emits it. */
__attribute__((noinline)) int test_elf_marked(int x)
{
	__asm__ volatile(".global test_elf_nop\n"
			 "test_elf_nop: nop\n"
			 ".pushsection .note.stapsdt,\"\",\"note\"\n"
			 ".balign 4\n"
			 ".4byte 992f-991f, 994f-993f, 3\n"
			 "991: .asciz \"stapsdt\"\n"
			 "992: .balign 4\n"
			 "993: .8byte test_elf_nop\n"
			 ".8byte 0\n"
			 ".8byte test_elf_semaphore\n"
			 ".asciz \"perftop_test\"\n"
			 ".asciz \"marked\"\n"
			 ".asciz \"-4@$5\"\n"
			 "994: .balign 4\n"
			 ".popsection\n");
	return x + 1;
}
extern const char test_elf_nop[];

/* A function whose name has a version, as in files of debug symbols, and where it is. */
extern const void *const test_elf_versioned;
__asm__(".pushsection .text\n"
	".type \"versioned@TEST_1\", %function\n"
	"\"versioned@TEST_1\": .8byte 0\n"
	".size \"versioned@TEST_1\", 8\n"
	".popsection\n"
	".pushsection .data.rel.ro,\"aw\"\n"
	".balign 8\n"
	".globl test_elf_versioned\n"
	"test_elf_versioned: .8byte \"versioned@TEST_1\"\n"
	".popsection\n");

static struct elf_image *open_self(void)
{
	int err = 0;
	struct elf_image *e = elf_image_open("/proc/self/exe", &err);

	assert_non_null(e);
	return e;
}

static int base_of_main(struct dl_phdr_info *info, size_t size, void *base)
{
	*(uint64_t *)base = info->dlpi_addr;
	return 1;
}

/* vaddr in the file of an address in this program. */
static uint64_t vaddr_of(const void *p)
{
	uint64_t base = 0;

	dl_iterate_phdr(base_of_main, &base);
	return (uint64_t)(uintptr_t)p - base;
}

static const struct elf_function *function_named(struct elf_image *e, const char *name)
{
	const struct elf_function *f;
	uint32_t n;

	assert_int_equal(elf_image_functions(e, &f, &n), 0);
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(f[i].name, name))
			return &f[i];
	return NULL;
}

static void a_function_is_found_by_name_at_its_address(void **state)
{
	struct elf_image *e = open_self();
	const struct elf_function *f = function_named(e, "test_elf_marked");

	assert_non_null(f);
	assert_int_equal(f->vaddr, vaddr_of((const void *)test_elf_marked));
	assert_true(f->size > 0);
	assert_false(elf_image_stripped(e));
	elf_image_free(e);
}

static void functions_come_in_address_order(void **state)
{
	struct elf_image *e = open_self();
	const struct elf_function *f;
	uint32_t n;

	assert_int_equal(elf_image_functions(e, &f, &n), 0);
	assert_true(n > 10);
	for (uint32_t i = 1; i < n; i++)
		assert_true(f[i - 1].vaddr <= f[i].vaddr);
	elf_image_free(e);
}

static void an_address_inside_a_function_gives_its_name(void **state)
{
	struct elf_image *e = open_self();
	struct elf_hit hit;
	char name[64];

	assert_int_equal(elf_image_find(e, vaddr_of((const void *)test_elf_marked) + 1, &hit), 0);
	assert_int_equal(hit.start, vaddr_of((const void *)test_elf_marked));
	assert_int_equal(elf_image_name(e, &hit, name, sizeof(name)), 0);
	assert_string_equal(name, "test_elf_marked");
	assert_int_equal(elf_image_find(e, 1, &hit), -ENOENT);
	elf_image_free(e);
}

static void a_version_is_no_part_of_a_name(void **state)
{
	struct elf_image *e = open_self();
	struct elf_hit hit;
	char name[64];

	assert_int_equal(elf_image_find(e, vaddr_of(test_elf_versioned), &hit), 0);
	assert_int_equal(elf_image_name(e, &hit, name, sizeof(name)), 0);
	assert_string_equal(name, "versioned");
	elf_image_free(e);
}

static void a_marker_is_found_at_its_nop_with_its_semaphore(void **state)
{
	struct elf_image *e = open_self();
	const struct elf_usdt *u;
	uint64_t nop, sem;
	uint32_t n;

	assert_int_equal(elf_image_usdts(e, &u, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(u->provider, "perftop_test");
	assert_string_equal(u->name, "marked");
	assert_string_equal(u->args, "-4@$5");
	assert_int_equal(elf_image_offset_of(e, vaddr_of(test_elf_nop), &nop), 0);
	assert_int_equal(elf_image_offset_of(e, vaddr_of(&test_elf_semaphore), &sem), 0);
	assert_int_equal(u->offset, nop);
	assert_int_equal(u->semaphore_offset, sem);
	elf_image_free(e);
}

static void code_read_from_the_file_is_what_runs(void **state)
{
	struct elf_image *e = open_self();
	uint64_t vaddr = vaddr_of((const void *)test_elf_marked), offset, back;
	unsigned char code[16];

	assert_int_equal(elf_image_read(e, vaddr, code, sizeof(code)), sizeof(code));
	assert_memory_equal(code, (const void *)test_elf_marked, 8);
	assert_int_equal(elf_image_offset_of(e, vaddr, &offset), 0);
	assert_int_equal(elf_image_vaddr_of(e, offset, &back), 0);
	assert_int_equal(back, vaddr);
	assert_int_equal(elf_image_read(e, UINT64_MAX - 4, code, sizeof(code)), 0);
	elf_image_free(e);
}

static struct elf_image *open_libc(void)
{
	struct elf_image *e;
	Dl_info info;
	int err;

	assert_true(dladdr((void *)(uintptr_t)getppid, &info));
	e = elf_image_open(info.dli_fname, &err);
	assert_non_null(e);
	return e;
}

/* libc has several names for malloc; the user knows one. */
static void of_aliases_the_known_name_is_chosen(void **state)
{
	struct elf_image *e = open_libc();
	const struct elf_function *f = function_named(e, "malloc");
	struct elf_hit hit;
	char name[64];

	assert_non_null(f);
	assert_int_equal(elf_image_find(e, f->vaddr + 4, &hit), 0);
	assert_int_equal(elf_image_name(e, &hit, name, sizeof(name)), 0);
	assert_string_equal(name, "malloc");
	elf_image_free(e);
}

static void a_library_with_unwind_tables_offers_them(void **state)
{
	struct elf_image *e = open_libc();

	assert_non_null(elf_image_cfi(e));
	assert_false(elf_image_is_go(e));
	assert_false(elf_image_go_has_registers(e));
	elf_image_free(e);
}

static void *read_self(size_t *size)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	off_t n = lseek(fd, 0, SEEK_END);
	char *p = malloc((size_t)n);

	assert_non_null(p);
	assert_int_equal(pread(fd, p, (size_t)n, 0), n);
	close(fd);
	*size = (size_t)n;
	return p;
}

/* As strip does, but with the section header table gone too. */
static void a_file_without_symbols_still_bounds_its_functions(void **state)
{
	size_t size;
	char *bytes = read_self(&size);
	Elf64_Ehdr *eh = (Elf64_Ehdr *)bytes;
	const struct elf_function *f;
	uint64_t want = vaddr_of((const void *)test_elf_marked);
	struct elf_image *e;
	struct elf_hit hit;
	char name[64], expect[64];
	uint32_t n;
	int err;

	eh->e_shoff = 0;
	e = elf_image_open_memory(bytes, size, "bare", &err);
	assert_non_null(e);
	assert_true(elf_image_stripped(e));
	assert_int_equal(elf_image_functions(e, &f, &n), 0);
	assert_true(n > 10);
	assert_int_equal(elf_image_find(e, want + 2, &hit), 0);
	assert_int_equal(hit.start, want);
	assert_int_equal(elf_image_name(e, &hit, name, sizeof(name)), 0);
	snprintf(expect, sizeof(expect), "fn@0x%llx", (unsigned long long)want);
	assert_string_equal(name, expect);
	elf_image_free(e);
	free(bytes);
}

static void calls_to_other_files_are_named_after_their_target(void **state)
{
	struct elf_image *e = open_self();
	struct elf_hit hit;
	char name[64];
	bool seen = false;

	/* The PLT lies near the start of the code: walk it until a stub says ftruncate. */
	for (uint64_t v = 0x1000; v < 0x80000 && !seen; v += 8) {
		if (elf_image_find(e, v, &hit) || elf_image_name(e, &hit, name, sizeof(name)))
			continue;
		seen = !strcmp(name, "ftruncate@plt");
	}
	assert_true(seen);
	elf_image_free(e);
}

static void what_is_not_elf_is_refused(void **state)
{
	int err = 0, fds[2];

	assert_null(elf_image_open("/proc/self/status", &err));
	assert_int_equal(err, -ENOEXEC);
	assert_null(elf_image_open("/nonexistent/file", &err));
	assert_int_equal(err, -ENOENT);
	assert_int_equal(pipe(fds), 0);
	assert_null(elf_image_open_fd(fds[0], "pipe", &err));
	assert_int_equal(err, -ENOEXEC);
	assert_null(elf_image_open_memory("\177ELF", 4, "short", &err));
	assert_int_equal(err, -ENOEXEC);
	close(fds[1]);
}

static void use_all(struct elf_image *e)
{
	const struct elf_function *f;
	const struct elf_usdt *u;
	struct elf_hit hit;
	char name[32];
	uint32_t n;

	elf_image_functions(e, &f, &n);
	elf_image_usdts(e, &u, &n);
	elf_image_cfi(e);
	if (!elf_image_find(e, vaddr_of((const void *)test_elf_marked), &hit))
		elf_image_name(e, &hit, name, sizeof(name));
}

/* A file replaced in place while it is being read must not take the reader with it. */
static void a_file_cut_short_after_opening_does_no_harm(void **state)
{
	size_t size;
	char *bytes = read_self(&size);
	int fd = memfd_create("cut", MFD_CLOEXEC), err;
	struct elf_image *e;

	assert_int_equal(write(fd, bytes, size), (ssize_t)size);
	e = elf_image_open_fd(dup(fd), "cut", &err);
	assert_non_null(e);
	assert_int_equal(ftruncate(fd, 100), 0);
	use_all(e);
	elf_image_free(e);
	close(fd);
	free(bytes);
}

static void truncated_copies_give_fewer_symbols_and_no_crash(void **state)
{
	size_t size;
	char *bytes = read_self(&size);

	for (size_t cut = 0; cut < 64; cut++) {
		int err;
		struct elf_image *e =
			elf_image_open_memory(bytes, size * cut / 64, "truncated", &err);

		if (e)
			use_all(e);
		elf_image_free(e);
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_is_found_by_name_at_its_address),
		cmocka_unit_test(functions_come_in_address_order),
		cmocka_unit_test(an_address_inside_a_function_gives_its_name),
		cmocka_unit_test(a_marker_is_found_at_its_nop_with_its_semaphore),
		cmocka_unit_test(code_read_from_the_file_is_what_runs),
		cmocka_unit_test(a_version_is_no_part_of_a_name),
		cmocka_unit_test(of_aliases_the_known_name_is_chosen),
		cmocka_unit_test(a_library_with_unwind_tables_offers_them),
		cmocka_unit_test(a_file_without_symbols_still_bounds_its_functions),
		cmocka_unit_test(calls_to_other_files_are_named_after_their_target),
		cmocka_unit_test(what_is_not_elf_is_refused),
		cmocka_unit_test(a_file_cut_short_after_opening_does_no_harm),
		cmocka_unit_test(truncated_copies_give_fewer_symbols_and_no_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
