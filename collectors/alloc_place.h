/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_place.h: the file and the variables of an allocator that is not libc's. */
#ifndef PERFTOP_ALLOC_PLACE_H
#define PERFTOP_ALLOC_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct alloc_stats;

/* The ELF file that an allocator's code came from, and where it is mapped. */
struct alloc_place {
	pid_t pid;
	int fd;
	uint64_t bias;
};

/*
 * How an allocator is read. find() looks for its variables, and fills in version and why: 0 and a
 * state; -EAGAIN not there, or not yet; -ENOTSUP never. read() is alloc_read().
 */
struct alloc_found {
	void *state;
	char version[12], why[160];
};
struct alloc_reader {
	int (*find)(const struct alloc_place *p, struct alloc_found *out);
	int (*read)(void *state, uint64_t now_ns, uint64_t budget_ns, struct alloc_stats *out);
	void (*free)(void *state);
};
extern const struct alloc_reader alloc_jemalloc, alloc_mimalloc, alloc_tcmalloc;

/* A copy of variables: zero where no page was touched. Addresses are those in the process. */
struct alloc_data {
	uint64_t start;
	size_t n; /* words */
	uint64_t *words;
};
enum { ALLOC_DATA_MAX = 4 };

/* Segments that can be written to: how many, or -errno. To be freed. */
int alloc_place_data(const struct alloc_place *p, struct alloc_data *out);
void alloc_data_free(struct alloc_data *data, int n);

/* Each string constant with the needle, shorter than 64 bytes; true from fn ends the search. */
typedef bool alloc_string_fn(void *ctx, const char *text);
bool alloc_file_strings(int fd, const char *needle, alloc_string_fn *fn, void *ctx);
bool alloc_file_stripped(int fd); /* of the symbols that are not exported */

#endif
