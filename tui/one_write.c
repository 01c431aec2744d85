/* SPDX-License-Identifier: Apache-2.0 */
/* one_write.c: what curses writes in many small pieces reaches the terminal in one. */
#include "tui/one_write.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

FILE *one_write_init(struct one_write *w, int tty_fd)
{
	FILE *out;

	w->tty_fd = tty_fd;
	w->mem_fd = -1;
	w->out_fd = fcntl(tty_fd, F_DUPFD_CLOEXEC, 3);
	out = w->out_fd < 0 ? NULL : fdopen(w->out_fd, "w");
	if (!out) {
		if (w->out_fd >= 0)
			close(w->out_fd);
		return NULL;
	}
	w->mem_fd = memfd_create("perftop-screen", MFD_CLOEXEC);
	return out;
}

void one_write_fini(struct one_write *w)
{
	if (w->mem_fd >= 0)
		close(w->mem_fd);
	w->mem_fd = -1;
}

void one_write_begin(struct one_write *w)
{
	if (w->mem_fd >= 0 && lseek(w->mem_fd, 0, SEEK_SET) == 0)
		dup3(w->mem_fd, w->out_fd, O_CLOEXEC);
}

/* A terminal that is gone takes nothing, and is noticed elsewhere. */
static void send_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t done = write(fd, bytes, n);

		if (done < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = fd, .events = POLLOUT};

			poll(&p, 1, -1);
		} else if (done < 0 && errno != EINTR) {
			return;
		} else if (done > 0) {
			bytes += done;
			n -= (size_t)done;
		}
	}
}

void one_write_end(struct one_write *w)
{
	char bytes[16384];
	off_t length, at = 0;

	if (w->mem_fd < 0)
		return;
	dup3(w->tty_fd, w->out_fd, O_CLOEXEC);
	/* The two descriptors shared one position: it is where curses stopped. */
	length = lseek(w->mem_fd, 0, SEEK_CUR);
	while (at < length) {
		size_t want =
			length - at < (off_t)sizeof(bytes) ? (size_t)(length - at) : sizeof(bytes);
		ssize_t n = pread(w->mem_fd, bytes, want, at);

		if (n <= 0)
			return;
		send_all(w->tty_fd, bytes, (size_t)n);
		at += n;
	}
}
