/* SPDX-License-Identifier: Apache-2.0 */
/* memfd_segment.h: memory that a library in a foreign program shares with perftop. */
#ifndef PERFTOP_MEMFD_SEGMENT_H
#define PERFTOP_MEMFD_SEGMENT_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3; may be demanded by vm.memfd_noexec */
#endif

/* A memfd sealed against resizing, or -1. */
static inline int memfd_segment_open(const char *name, uint64_t bytes)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct rlimit limit;
	int fd, up;

	/* Growing a file past the limit would kill the program by SIGXFSZ. */
	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur < bytes)
		return -1;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd >= 0 && fd < 64) {
		/* Out of the way: shells and scripts use small numbers, and select() has 1,024. */
		up = fcntl(fd, F_DUPFD_CLOEXEC, 200);
		if (up < 0)
			up = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		syscall(SYS_close, fd);
		fd = up;
	}
	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)bytes) || fcntl(fd, F_ADD_SEALS, seals)) {
		syscall(SYS_close, fd);
		return -1;
	}
	return fd;
}

/* Map without ever making it resident: a program under mlockall() would pay for all of it. */
static inline void *memfd_segment_map(int fd, uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (p == MAP_FAILED)
		return NULL;
	munlock(p, bytes);
	if (mprotect(p, bytes, PROT_READ | PROT_WRITE)) {
		munmap(p, bytes);
		return NULL;
	}
	madvise(p, bytes, MADV_NOHUGEPAGE);
	madvise(p, bytes, MADV_DONTDUMP);
	return p;
}

#endif
