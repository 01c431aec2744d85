/* SPDX-License-Identifier: Apache-2.0 */
/* failing.c: system calls that fail, as many as it says. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* failing MODE SECONDS: "missing": of four files to open three are not there; "full": no descriptor
 * is left. Then sleeps a while, so that who watches sees the whole, and prints how many failed. */
int main(int argc, char **argv)
{
	double seconds = argc > 2 ? atof(argv[2]) : 3;
	int full = argc > 1 && !strcmp(argv[1], "full");
	unsigned long failed = 0, calls = 0;
	time_t end;

	if (full) {
		struct rlimit few = {.rlim_cur = 16, .rlim_max = 16};

		setrlimit(RLIMIT_NOFILE, &few);
		while (dup(0) >= 0)
			;
	}
	printf("ready\n");
	fflush(stdout);
	usleep(1500000);
	for (end = time(NULL) + (time_t)seconds; time(NULL) < end;) {
		int fd = full ? dup(0) : open(calls % 4 ? "/nothing/here" : "/", O_RDONLY);

		calls++;
		failed += fd < 0;
		if (fd > 2)
			close(fd);
		if (calls % 8 == 0)
			usleep(1000);
	}
	usleep(1500000);
	printf("failed %lu of %lu\n", failed, calls);
	return 0;
}
