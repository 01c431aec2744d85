/* SPDX-License-Identifier: Apache-2.0 */
/* lock_layout.c: what glibc's locks hold, read from the target's memory. */
#include "collectors/lock_layout.h"

#include <linux/futex.h>
#include <sys/uio.h>

#include "probes/contract.h"

bool lock_layout_mutex_op(uint32_t op)
{
	return op == FUTEX_WAIT || op == FUTEX_LOCK_PI || op == FUTEX_LOCK_PI2;
}

static bool read_words(pid_t pid, uint64_t addr, uint32_t *w, size_t n)
{
	struct iovec here = {.iov_base = w, .iov_len = n * sizeof(*w)};
	struct iovec there = {.iov_base = (void *)(uintptr_t)addr, .iov_len = here.iov_len};

	return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)here.iov_len;
}

uint32_t lock_layout_mutex(pid_t pid, uint64_t addr, uint32_t *kind)
{
	uint32_t w[5];

	if (!read_words(pid, addr, w, 5))
		return 0;
	if (kind)
		*kind = w[4];
	return contract_mutex_owner(w);
}

bool lock_layout_rwlock(pid_t pid, uint64_t addr, uint32_t *writer)
{
	enum { PAD = 4, WRITER = 6, SHARED = 7, PID_END = 1 << 22 };
	uint32_t w[8];

	if (!read_words(pid, addr, w, 8) || w[PAD] || w[PAD + 1] || w[SHARED] > 1 ||
	    w[WRITER] >= PID_END || (!w[0] && !w[WRITER]))
		return false;
	*writer = w[WRITER];
	return true;
}
