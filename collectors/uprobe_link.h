/* SPDX-License-Identifier: Apache-2.0 */
/* uprobe_link.h: many user probes in one link, by the system call that libbpf may not know yet. */
#ifndef PERFTOP_UPROBE_LINK_H
#define PERFTOP_UPROBE_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Attach types of linux/bpf.h: Linux 6.6 has the first, 6.13 the second. */
enum { UPROBE_LINK_MULTI = 48, UPROBE_LINK_SESSION = 57 };

struct uprobe_link {
	const char *path;		 /* of the ELF file, as perftop can open it */
	const uint64_t *offsets;	 /* in the file, n of them */
	const uint64_t *ref_ctr_offsets; /* USDT semaphores, 0 = none; NULL = none at all */
	const uint64_t *cookies;
	uint32_t n;
	pid_t pid;     /* process to probe */
	uint32_t type; /* UPROBE_LINK_MULTI or _SESSION; the program was loaded for it */
	bool returns;  /* with _MULTI: at the return instead of the entry */
};

/*
 * Returns the link's descriptor, or -errno. Closing it takes every probe off, and so does the
 * end of the process that holds it. All probes are placed or none is.
 */
int uprobe_link_open(int prog_fd, const struct uprobe_link *link);

/* Close from a thread of its own: the kernel waits 20-60 ms for its readers at each. */
void uprobe_link_close_later(int fd);

#endif
