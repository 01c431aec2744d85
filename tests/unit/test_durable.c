/* SPDX-License-Identifier: Apache-2.0 */
/* test_durable.c: files of learned state survive, or are refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/durable.h"

static char folder[] = "/tmp/perftop_durable_XXXXXX", path[64];

static int setup(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/state", folder);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return rmdir(folder); /* fails when a temporary file was left */
}

static void save(const char *text, size_t n)
{
	struct iovec parts[] = {{(void *)text, n / 3}, {(void *)(text + n / 3), n - n / 3}};

	assert_int_equal(durable_save(path, "test", 7, parts, 2), 0);
}

static int load(size_t most)
{
	void *data = NULL;
	size_t size;
	int err = durable_load(path, "test", 7, most, &data, &size);

	if (!err)
		free(data);
	return err;
}

static void what_was_saved_is_not_loaded(void **state)
{
	char text[1000];
	void *data;
	size_t size;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 31);
	for (size_t n = 0; n < sizeof(text); n += n < 70 ? 1 : 101) {
		save(text, n);
		assert_int_equal(durable_load(path, "test", 7, n, &data, &size), 0);
		assert_int_equal(size, n);
		assert_int_equal((uintptr_t)data % 64, 0);
		assert_memory_equal(data, text, n);
		free(data);
	}
}

/* Any bit of the file: header, payload, padding of neither. */
static void a_flipped_bit_is_believed(void **state)
{
	char text[100] = "what was learned", byte;
	int fd;

	save(text, sizeof(text));
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	for (off_t at = 0; at < DURABLE_HEADER_BYTES + (off_t)sizeof(text); at++) {
		for (int bit = 0; bit < 8; bit += 3) {
			assert_int_equal(pread(fd, &byte, 1, at), 1);
			byte = (char)(byte ^ 1 << bit);
			assert_int_equal(pwrite(fd, &byte, 1, at), 1);
			assert_int_equal(load(1000), -EBADMSG);
			byte = (char)(byte ^ 1 << bit);
			assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		}
	}
	assert_int_equal(load(1000), 0);
	close(fd);
}

static void a_torn_file_is_believed(void **state)
{
	char text[100] = "what was learned";
	void *data;
	size_t size;

	for (off_t n = 0; n < DURABLE_HEADER_BYTES + (off_t)sizeof(text); n += 7) {
		save(text, sizeof(text));
		assert_int_equal(truncate(path, n), 0);
		assert_int_equal(load(1000), -EBADMSG);
	}
	save(text, sizeof(text));
	assert_int_equal(load(99), -EFBIG);
	assert_int_equal(durable_load(path, "other", 7, 1000, &data, &size), -EBADMSG);
	assert_int_equal(durable_load(path, "test", 8, 1000, &data, &size), -EPROTO);
	assert_int_equal(durable_load("/nonexistent/x", "test", 7, 1000, &data, &size), -ENOENT);
	assert_int_equal(durable_load(folder, "test", 7, 1000, &data, &size), -EBADMSG);
}

/* The old file stays when the new one cannot be written. */
static void a_failed_save_loses_the_old_state(void **state)
{
	char temporary[80], text[8] = "old";
	struct iovec part = {text, sizeof(text)};
	struct stat st;

	save(text, sizeof(text));
	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	assert_int_equal(mkdir(temporary, 0700), 0); /* in the way of the temporary file */
	assert_int_equal(durable_save(path, "test", 7, &part, 1), -EISDIR);
	assert_int_equal(load(1000), 0);
	assert_int_equal(rmdir(temporary), 0);
	assert_int_equal(durable_save("/nonexistent/x", "test", 7, &part, 1), -ENOENT);
	assert_int_equal(durable_save(NULL, "test", 7, &part, 1), -EINVAL);
	assert_int_equal(durable_save(path, "test", 7, &part, 1), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_saved_is_not_loaded),
		cmocka_unit_test(a_flipped_bit_is_believed),
		cmocka_unit_test(a_torn_file_is_believed),
		cmocka_unit_test(a_failed_save_loses_the_old_state),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
