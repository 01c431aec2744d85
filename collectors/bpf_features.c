/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_features.c: what this kernel can do, found by trying once. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/uprobe_link.h"

int bpf_load_empty(uint32_t type)
{
	const struct bpf_insn code[] = BPF_EMPTY_CODE;
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = type,
		    .prog_flags = BPF_F_SLEEPABLE);
	int fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "perftop_empty", "GPL", code,
			       sizeof(code) / sizeof(code[0]), &opts);

	return fd < 0 ? -errno : fd;
}

static bool attach_type_works(uint32_t type)
{
	/* No file has that name: a kernel that knows the type answers ENOENT, an older one EINVAL.
	 */
	const uint64_t offset = 0;
	const struct uprobe_link link = {.path = "/proc/self/perftop-no-such-file",
					 .offsets = &offset,
					 .n = 1,
					 .type = type};
	int fd, prog = bpf_load_empty(type);

	if (prog < 0)
		return false;
	fd = uprobe_link_open(prog, &link);
	close(prog);
	if (fd >= 0)
		close(fd);
	return fd == -ENOENT || fd == -EBADF;
}

bool bpf_has_task_storage(void)
{
	return libbpf_probe_bpf_map_type(BPF_MAP_TYPE_TASK_STORAGE, NULL) != 0;
}

/* Earlier ones do it by kmalloc, which a program of the scheduler must not wait for. */
bool bpf_has_map_alloc(void)
{
	int major = 0, minor = 0;
	struct utsname u;

	return !uname(&u) && sscanf(u.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 1));
}

bool bpf_has_uprobe_multi(void)
{
	return attach_type_works(UPROBE_LINK_MULTI);
}

bool bpf_has_uprobe_session(void)
{
	return attach_type_works(UPROBE_LINK_SESSION);
}
