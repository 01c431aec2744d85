/* SPDX-License-Identifier: Apache-2.0 */
/* known_process.h: tests/targets/known on a pipe. */
#ifndef PERFTOP_KNOWN_PROCESS_H
#define PERFTOP_KNOWN_PROCESS_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct known_process {
	pid_t pid;
	FILE *in, *out;
	char line[512]; /* its last answer */
};

/* Started from beside the calling program's folder. 0 or -errno. */
int known_start(struct known_process *k);
/* The same with another of tests/targets/, which answers to lines. */
int known_start_program(struct known_process *k, const char *program);
/* Send a command and wait for its answer. 0, or -EPIPE when it is gone. */
int known_tell(struct known_process *k, const char *command);
/* Number behind "key=" of the last answer; 0 when it has none. */
double known_told(const struct known_process *k, const char *key);
/* Close its stdin and wait. 0, or -EIO when it did not end well. */
int known_end(struct known_process *k);

#endif
