/* SPDX-License-Identifier: Apache-2.0 */
/* exec_name.h: the name that a process was started by, where its file has another. */
#ifndef PERFTOP_EXEC_NAME_H
#define PERFTOP_EXEC_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * "redis-server" for /usr/bin/redis-server, a link to redis-check-rdb, whose path is put into
 * `file`. False: by the file's own name or the beginning of it (python3 for python3.11), by a
 * script's, or not known.
 */
bool exec_name(pid_t pid, char *file, size_t file_size, char *name, size_t name_size);

#endif
