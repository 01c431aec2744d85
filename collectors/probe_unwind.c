/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe_unwind.c: where a return probe would end the program. It puts an address of the kernel's in
 * the place of the return address; who reads that, and does not just return, goes astray.
 */
#include <stdlib.h>
#include <string.h>

#include "collectors/elf_image_priv.h"
#include "collectors/probe_plan_priv.h"

enum { UNWIND_MAX_STRINGS = 64 << 20 };

static bool is_among(const char *name, size_t n, const char *const *list, size_t nlist)
{
	for (size_t i = 0; i < nlist; i++)
		if (strlen(list[i]) == n && !strncmp(name, list[i], n))
			return true;
	return false;
}

const char *plan_returns_oddly(const char *name)
{
	/* The address is kept and jumped to later, or in another process. */
	static const char *const twice[] = {"setjmp",	   "sigsetjmp", "vfork",     "getcontext",
					    "swapcontext", "Fork",	"libc_vfork"};
	/* What lies on top of the stack is no return address. */
	static const char *const never[] = {"start", "restore_rt", "start_context", "clone",
					    "clone3"};
	/* They call functions of the program. */
	static const char *const callers[] = {
		"qsort",	   "qsort_r", "bsearch", "pthread_once", "call_once",
		"dl_iterate_phdr", "lfind",   "lsearch", "twalk",	 "twalk_r",
		"tdestroy",	   "ftw",     "nftw",	 "scandir",
	};
	/* The unwinders begin with their own return addresses. */
	static const char *const families[] = {"dl_runtime_", "Unwind_", "uw_", "unw_"};
	size_t n;

	name += strspn(name, "_");
	n = strcspn(name, "@");
	if (is_among(name, n, twice, sizeof(twice) / sizeof(twice[0])))
		return "entries only: it may return twice";
	if (is_among(name, n, never, sizeof(never) / sizeof(never[0])))
		return "entries only: it does not return as others do";
	if (is_among(name, n, callers, sizeof(callers) / sizeof(callers[0])))
		return "entries only: exceptions of what it calls may pass";
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (!strncmp(name, families[i], strlen(families[i])))
			return "entries only: it looks who called it";
	return NULL;
}

static const char *untimed(const char *name)
{
	/* The return address is kept and jumped to later. */
	static const char *const twice[] = {"setjmp",	    "sigsetjmp",  "vfork",
					    "libc_vfork",   "getcontext", "swapcontext",
					    "start_context"};
	/* By the return address they look who asks. */
	static const char *const callers[] = {"dlopen",	   "dlmopen", "dlsym",	      "dlvsym",
					      "morestack", "mcount",  "tls_get_addr", "fentry"};
	size_t n;

	name += strspn(name, "_");
	n = strcspn(name, "@");
	for (size_t i = 0; i < sizeof(twice) / sizeof(twice[0]); i++)
		if (strlen(twice[i]) == n && !strncmp(name, twice[i], n))
			return "it may return twice";
	for (size_t i = 0; i < sizeof(callers) / sizeof(callers[0]); i++)
		if (!strncmp(name, callers[i], strlen(callers[i])))
			return "it looks who called it";
	return strncmp(name, "dl_runtime_", 11) ? NULL : "it is called in a way of its own";
}

/* They are sorted by address: it may have a telling name beside the one asked for. */
const char *plan_untimed(const struct elf_function *fns, uint32_t n, uint32_t i)
{
	const char *reason = NULL;
	uint32_t k = i;

	while (k > 0 && fns[k - 1].vaddr == fns[i].vaddr)
		k--;
	for (; !reason && k < n && fns[k].vaddr == fns[i].vaddr; k++)
		reason = untimed(fns[k].name);
	return reason;
}

static bool holds(const char *strings, size_t n, const char *what)
{
	return strings && memmem(strings, n, what, strlen(what));
}

/*
 * C++ and Rust name what unwinds them. glibc has tables of exceptions too, for cancelled threads,
 * but names nothing of it.
 */
bool plan_unwinds(const struct symbols_module *m)
{
	static const char *const tables[] = {".dynstr", ".strtab"};
	static const char *const names[] = {"__gxx_personality_v0", "rust_eh_personality",
					    "_Unwind_Resume"};
	const char *file = strrchr(m->path, '/');
	struct elf_image *e = m->image;
	bool found = false;

	if (file && (!strncmp(file, "/libgcc_s", 9) || !strncmp(file, "/libunwind", 10)))
		return true;
	if (!elf_image_section(e, ".gcc_except_table"))
		return false;
	for (int t = 0; t < 2 && !found; t++) {
		const Elf64_Shdr *sh = elf_image_section(e, tables[t]);
		char *s = sh ? elf_image_load(e, sh->sh_offset, sh->sh_size, UNWIND_MAX_STRINGS)
			     : NULL;

		for (size_t i = 0; s && i < sizeof(names) / sizeof(names[0]) && !found; i++)
			found = holds(s, sh->sh_size, names[i]);
		free(s);
	}
	return found;
}
