/* SPDX-License-Identifier: Apache-2.0 */
/* test_symbols.c: addresses of live processes to names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collectors/demangle.h"
#include "collectors/maps.h"
#include "collectors/symbols.h"

int test_symbols_one(int x);
int test_symbols_two(int x);

__attribute__((noinline)) int test_symbols_one(int x)
{
	__asm__ volatile("nop; nop; nop; nop");
	return x + 1;
}

__attribute__((noinline)) int test_symbols_two(int x)
{
	__asm__ volatile("nop; nop; nop; nop");
	return x + 2;
}

static uint64_t addr_of(int (*fn)(int))
{
	return (uint64_t)(uintptr_t)fn;
}

static struct symbols *symbols_of(int pid)
{
	struct symbols *s = symbols_new(pid);

	assert_non_null(s);
	assert_int_equal(symbols_refresh(s), 0);
	return s;
}

static void an_address_names_its_function_file_and_offset(void **state)
{
	struct symbols *s = symbols_of(getpid());
	struct symbol y;

	symbols_lookup(s, addr_of(test_symbols_one) + 2, &y);
	assert_string_equal(y.name, "test_symbols_one");
	assert_string_equal(y.module, "test_symbols");
	assert_int_equal(y.offset, 2);
	/* Again, from the cache. */
	symbols_lookup(s, addr_of(test_symbols_one) + 2, &y);
	assert_string_equal(y.name, "test_symbols_one");
	assert_int_equal(y.offset, 2);
	symbols_free(s);
}

static void one_function_has_one_id_and_another_has_another(void **state)
{
	struct symbols *s = symbols_of(getpid());
	struct symbol a, b, c, d;

	symbols_lookup(s, addr_of(test_symbols_one), &a);
	symbols_lookup(s, addr_of(test_symbols_one) + 3, &b);
	symbols_lookup(s, addr_of(test_symbols_two), &c);
	assert_int_equal(a.id, b.id);
	assert_int_not_equal(a.id, c.id);
	assert_true(c.id < symbols_count(s));
	symbols_by_id(s, c.id, &d);
	assert_string_equal(d.name, "test_symbols_two");
	symbols_exec(s);
	assert_null(symbols_module_at(s, addr_of(test_symbols_one)));
	assert_int_equal(symbols_refresh(s), 0);
	symbols_lookup(s, addr_of(test_symbols_one), &b);
	assert_int_equal(a.id, b.id);
	symbols_free(s);
}

static void an_address_outside_every_mapping_is_unknown(void **state)
{
	struct symbols *s = symbols_of(getpid());
	struct symbol y;

	symbols_lookup(s, 0, &y);
	assert_string_equal(y.name, "[unknown]");
	symbols_lookup(s, UINT64_MAX, &y);
	assert_string_equal(y.name, "[unknown]");
	symbols_by_id(s, UINT32_MAX, &y);
	assert_string_equal(y.name, "[unknown]");
	symbols_free(s);
}

static void the_vdso_is_named_from_memory(void **state)
{
	void *vdso = dlopen("linux-vdso.so.1", RTLD_NOW | RTLD_NOLOAD);
	struct symbols *s;
	struct symbol y;
	void *fn;

	if (!vdso)
		skip();
	fn = dlsym(vdso, "__vdso_clock_gettime");
	assert_non_null(fn);
	s = symbols_of(getpid());
	symbols_lookup(s, (uint64_t)(uintptr_t)fn + 1, &y);
	assert_non_null(strstr(y.name, "clock_gettime"));
	assert_string_equal(y.module, "[vdso]");
	symbols_free(s);
	dlclose(vdso);
}

/* A library loaded later is a mapping that appears later. */
static void code_mapped_later_is_named_after_the_next_refresh(void **state)
{
	struct symbols *s = symbols_of(getpid());
	const struct symbols_module *m = symbols_module_at(s, addr_of(test_symbols_two));
	uint64_t in, generation = symbols_generation(s);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	size_t size;
	struct symbol y;
	char *p;

	assert_non_null(m);
	size = (size_t)(m->end - m->start);
	in = addr_of(test_symbols_two) - m->start;
	p = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, (off_t)m->file_offset);
	assert_ptr_not_equal(p, MAP_FAILED);
	close(fd);
	symbols_lookup(s, (uint64_t)(uintptr_t)p + in, &y);
	assert_string_equal(y.name, "[unknown]");
	assert_int_equal(symbols_refresh(s), 0);
	assert_int_not_equal(symbols_generation(s), generation);
	symbols_lookup(s, (uint64_t)(uintptr_t)p + in, &y);
	assert_string_equal(y.name, "test_symbols_two");
	munmap(p, size);
	symbols_free(s);
}

static void maps_that_did_not_change_keep_what_was_derived(void **state)
{
	struct symbols *s = symbols_of(getpid());
	uint64_t generation = symbols_generation(s);

	for (int i = 0; i < 40; i++)
		assert_int_equal(symbols_refresh(s), 0);
	assert_int_equal(symbols_generation(s), generation);
	symbols_free(s);
}

/* ---- a child that runs a copy of this program, and waits ------------------------------------- */

struct child {
	int pid;
	uint64_t one; /* address of test_symbols_one in it */
};

static void child_start(struct child *c, const char *path)
{
	int fds[2];
	char fd[16];

	assert_int_equal(pipe(fds), 0);
	snprintf(fd, sizeof(fd), "%d", fds[1]);
	c->pid = fork();
	if (!c->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(path, path, "child", fd, NULL);
		_exit(127);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &c->one, sizeof(c->one)), sizeof(c->one));
	close(fds[0]);
}

static void child_stop(struct child *c)
{
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
}

static int child_main(int fd)
{
	uint64_t one = addr_of(test_symbols_one);

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		return 1;
	pause();
	return 0;
}

static void copy_self(const char *path)
{
	int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	char buf[65536];
	ssize_t r;

	assert_true(in >= 0 && out >= 0);
	while ((r = read(in, buf, sizeof(buf))) > 0)
		assert_int_equal(write(out, buf, (size_t)r), r);
	close(in);
	close(out);
}

static void a_binary_deleted_while_it_runs_is_still_named(void **state)
{
	char path[] = "/tmp/perftop_test_XXXXXX";
	struct symbols *s;
	struct symbol y;
	struct child c;

	assert_true(mkstemp(path) >= 0);
	unlink(path);
	copy_self(path);
	child_start(&c, path);
	unlink(path);
	s = symbols_of(c.pid);
	symbols_lookup(s, c.one + 1, &y);
	assert_string_equal(y.name, "test_symbols_one");
	assert_string_equal(y.module, strrchr(path, '/') + 1);
	symbols_free(s);
	child_stop(&c);
}

static void names_outlive_the_process(void **state)
{
	struct symbols *s;
	struct symbol y;
	struct child c;

	child_start(&c, "/proc/self/exe");
	s = symbols_of(c.pid);
	child_stop(&c);
	for (int i = 0; i < 20; i++)
		symbols_refresh(s);
	symbols_lookup(s, c.one + 1, &y);
	assert_string_equal(y.name, "test_symbols_one");
	symbols_free(s);
	s = symbols_new(c.pid);
	assert_int_equal(symbols_refresh(s), -ESRCH);
	symbols_free(s);
}

/* ---- JIT ------------------------------------------------------------------------------------ */

static void *exec_page(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static int jit_teardown(void **state)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	unlink(path);
	return 0;
}

static void map_append(const char *path, uint64_t at, unsigned size, const char *name)
{
	FILE *f = fopen(path, "ae");

	assert_non_null(f);
	fprintf(f, "%llx %x %s\n", (unsigned long long)at, size, name);
	fclose(f);
}

static void jit_code_is_named_from_its_map_as_it_grows(void **state)
{
	char path[64];
	uint64_t page = (uint64_t)(uintptr_t)exec_page();
	struct symbols *s;
	struct symbol y;

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	map_append(path, page, 0x40, "LazyCompile:*hot\033[31m file.js:1");
	s = symbols_of(getpid());
	symbols_lookup(s, page + 0x10, &y);
	assert_string_equal(y.module, "[jit]");
	assert_non_null(strstr(y.name, "LazyCompile:*hot"));
	assert_null(strchr(y.name, '\033'));
	symbols_lookup(s, page + 0x90, &y);
	assert_string_equal(y.name, "[unknown]");
	map_append(path, page + 0x80, 0x20, "later");
	assert_int_equal(symbols_refresh(s), 0);
	symbols_lookup(s, page + 0x90, &y);
	assert_string_equal(y.name, "later");
	/* Code moves: the newest line for an address holds. */
	map_append(path, page, 0x200, "newest");
	symbols_lookup(s, page + 0x300, &y);
	assert_int_equal(symbols_refresh(s), 0);
	symbols_lookup(s, page + 0x90, &y);
	assert_string_equal(y.name, "newest");
	symbols_free(s);
	unlink(path);
	munmap((void *)(uintptr_t)page, 4096);
}

static void a_jit_map_of_another_user_is_not_believed(void **state)
{
	char path[64];
	uint64_t page = (uint64_t)(uintptr_t)exec_page();
	struct symbols *s;
	struct symbol y;

	if (geteuid())
		skip();
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	map_append(path, page, 0x40, "planted");
	assert_int_equal(chown(path, 65534, 65534), 0);
	s = symbols_of(getpid());
	symbols_lookup(s, page + 0x10, &y);
	assert_string_equal(y.name, "[unknown]");
	symbols_free(s);
	unlink(path);
	munmap((void *)(uintptr_t)page, 4096);
}

/* ---- the kernel ----------------------------------------------------------------------------- */

static void kernel_addresses_are_named_or_said_to_be_the_kernels(void **state)
{
	FILE *f = fopen("/proc/kallsyms", "re");
	unsigned long long addr = 0, found = 0;
	char line[512], name[256], type;
	struct symbols *s = symbols_of(getpid());
	struct symbol y;

	assert_non_null(f);
	while (!found && fgets(line, sizeof(line), f))
		if (sscanf(line, "%llx %c %255s", &addr, &type, name) == 3 && addr &&
		    !strcmp(name, "do_exit"))
			found = addr;
	fclose(f);
	symbols_lookup_kernel(s, found ? found + 1 : 0xffffffff81000000ull, &y);
	assert_string_equal(y.module, "[kernel]");
	assert_string_equal(y.name, found ? "do_exit" : "[kernel]");
	symbols_free(s);
}

/* ---- parsing -------------------------------------------------------------------------------- */

struct seen {
	unsigned n;
	struct maps_line last;
	char path[64];
};

static void note_line(void *ctx, const struct maps_line *l)
{
	struct seen *s = ctx;

	s->n++;
	s->last = *l;
	snprintf(s->path, sizeof(s->path), "%s", l->path);
}

static unsigned parse(const char *text, struct seen *s)
{
	char buf[512];

	memset(s, 0, sizeof(*s));
	snprintf(buf, sizeof(buf), "%s", text);
	maps_parse(buf, strlen(buf), note_line, s);
	return s->n;
}

static void what_turns_interrupts_on_is_no_work_of_its_own(void **state)
{
	(void)state;
	assert_true(symbols_ends_irq_off("_raw_spin_unlock_irqrestore"));
	assert_true(symbols_ends_irq_off("finish_task_switch.isra.0"));
	assert_true(symbols_ends_irq_off("pvm_irq_enable"));
	assert_false(symbols_ends_irq_off("_raw_spin_lock_irqsave"));
	assert_false(symbols_ends_irq_off("_raw_spin_unlock"));
	assert_false(symbols_ends_irq_off("try_to_wake_up"));
	assert_false(symbols_ends_irq_off("[kernel]"));
}

static void a_line_of_maps_reads_as_the_kernel_wrote_it(void **state)
{
	struct seen s;

	assert_int_equal(parse("55e0-66f0 r-xp 00001000 fd:01 77                 /bin/a b\n", &s),
			 1);
	assert_int_equal(s.last.start, 0x55e0);
	assert_int_equal(s.last.end, 0x66f0);
	assert_int_equal(s.last.offset, 0x1000);
	assert_int_equal(s.last.major, 0xfd);
	assert_int_equal(s.last.minor, 1);
	assert_int_equal(s.last.inode, 77);
	assert_true(s.last.exec);
	assert_false(s.last.deleted);
	assert_string_equal(s.path, "/bin/a b");
	assert_int_equal(parse("1000-2000 rw-p 00000000 00:00 0 \n", &s), 1);
	assert_string_equal(s.path, "");
	assert_false(s.last.exec);
	assert_int_equal(parse("1000-2000 rw-p 00000000 00:00 0\n", &s), 1);
	assert_int_equal(parse("1000-2000 r-xp 00000000 08:01 5  /x\\012y (deleted)\n", &s), 1);
	assert_string_equal(s.path, "/x\ny");
	assert_true(s.last.deleted);
}

static void lines_that_make_no_sense_are_left_out(void **state)
{
	struct seen s;

	assert_int_equal(parse("\n\n", &s), 0);
	assert_int_equal(parse("2000-1000 r-xp 00000000 08:01 5 /x\n", &s), 0);
	assert_int_equal(parse("zz-1000 r-xp 00000000 08:01 5 /x\n", &s), 0);
	assert_int_equal(parse("1000-2000 r-\n", &s), 0);
	assert_int_equal(parse("1000-2000 r-xp 0 0:0\n", &s), 0);
	assert_int_equal(parse("1000-11112222333344445 r-xp 0 0:0 0\n", &s), 0);
	/* The beginning of a line waits for its end. */
	assert_int_equal(parse("1000-2000 r-xp 00000000 08:01 5 /x", &s), 0);
}

static void names_read_as_their_authors_wrote_them(void **state)
{
	static const char *const cases[][2] = {
		{"_ZNSt6vectorIiSaIiEE9push_backERKi",
		 "std::vector<int, std::allocator<int> >::push_back"},
		{"_ZN3foo3barEv.cold", "foo::bar.cold"},
		{"_RNvCskwGfYPst2Cb_3foo16example_function", "foo::example_function"},
		{"_ZN4core3fmt9Formatter3pad17h1234567890abcdefE", "core::fmt::Formatter::pad"},
		{"malloc", "malloc"},
		{"_Zgarbage", "_Zgarbage"},
		{"", ""},
	};
	char buf[128];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		demangle_name(cases[i][0], buf, sizeof(buf));
		assert_string_equal(buf, cases[i][1]);
	}
	demangle_name(cases[0][0], buf, 8);
	assert_string_equal(buf, "std::ve");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_names_its_function_file_and_offset),
		cmocka_unit_test(one_function_has_one_id_and_another_has_another),
		cmocka_unit_test(an_address_outside_every_mapping_is_unknown),
		cmocka_unit_test(the_vdso_is_named_from_memory),
		cmocka_unit_test(code_mapped_later_is_named_after_the_next_refresh),
		cmocka_unit_test(maps_that_did_not_change_keep_what_was_derived),
		cmocka_unit_test(a_binary_deleted_while_it_runs_is_still_named),
		cmocka_unit_test(names_outlive_the_process),
		cmocka_unit_test_teardown(jit_code_is_named_from_its_map_as_it_grows, jit_teardown),
		cmocka_unit_test_teardown(a_jit_map_of_another_user_is_not_believed, jit_teardown),
		cmocka_unit_test(kernel_addresses_are_named_or_said_to_be_the_kernels),
		cmocka_unit_test(what_turns_interrupts_on_is_no_work_of_its_own),
		cmocka_unit_test(a_line_of_maps_reads_as_the_kernel_wrote_it),
		cmocka_unit_test(lines_that_make_no_sense_are_left_out),
		cmocka_unit_test(names_read_as_their_authors_wrote_them),
	};

	if (argc == 3 && !strcmp(argv[1], "child"))
		return child_main(atoi(argv[2]));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
