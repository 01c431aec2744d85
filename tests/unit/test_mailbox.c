/* SPDX-License-Identifier: Apache-2.0 */
/* test_mailbox.c: the reader gets whole snapshots, newest first, and never one twice. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collectors/mailbox.h"

enum { ROUNDS = 200000 };

static void the_latest_wins_and_is_taken_once(void **state)
{
	struct mailbox m;

	assert_int_equal(mailbox_init(&m), 0);
	assert_null(mailbox_take(&m));
	for (uint64_t i = 1; i <= 5; i++) {
		mailbox_slot(&m)->seq = i;
		mailbox_publish(&m);
	}
	assert_int_equal(mailbox_take(&m)->seq, 5);
	assert_null(mailbox_take(&m));
	mailbox_slot(&m)->seq = 6;
	mailbox_publish(&m);
	assert_int_equal(mailbox_take(&m)->seq, 6);
	mailbox_fini(&m);
}

/* A torn snapshot would show different numbers in its first and its last field. */
static void *write_all(void *arg)
{
	struct mailbox *m = arg;

	for (uint64_t i = 1; i <= ROUNDS; i++) {
		struct snapshot *s = mailbox_slot(m);

		s->seq = i;
		s->bins[0].count = (uint32_t)i;
		s->bins[SNAP_BINS - 1].count = (uint32_t)i;
		mailbox_publish(m);
	}
	return NULL;
}

static void a_reader_never_sees_half_a_snapshot_or_an_older_one(void **state)
{
	struct mailbox m;
	pthread_t writer;
	uint64_t last = 0;

	assert_int_equal(mailbox_init(&m), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_all, &m), 0);
	while (last < ROUNDS) {
		const struct snapshot *s = mailbox_take(&m);

		if (!s)
			continue;
		assert_true(s->seq > last);
		last = s->seq;
		assert_int_equal(s->bins[0].count, (uint32_t)last);
		assert_int_equal(s->bins[SNAP_BINS - 1].count, (uint32_t)last);
	}
	pthread_join(writer, NULL);
	mailbox_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_latest_wins_and_is_taken_once),
		cmocka_unit_test(a_reader_never_sees_half_a_snapshot_or_an_older_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
