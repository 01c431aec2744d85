/* SPDX-License-Identifier: Apache-2.0 */
/* test_attention.c: every attention variant against the reference, shape by shape. */
#include "tests/lib/attention_problem.h"

static void check_shape(uint32_t heads, uint32_t kv_heads, uint32_t q_len, uint32_t kv_len,
			uint32_t dim, bool causal)
{
	struct problem p;

	problem_init(&p, heads, kv_heads, q_len, kv_len, dim, causal);
	check_all_variants(&p);
	problem_fini(&p);
}

static void wrong_answer_at_some_head_dim(void **state)
{
	static const uint32_t dims[] = {1,   2,	  3,   4,   5,	 7,   8,   9,	 11,  12,
					13,  15,  16,  17,  24,	 31,  32,  33,	 48,  63,
					64,  65,  66,  72,  80,	 95,  96,  97,	 99,  100,
					101, 102, 103, 112, 127, 128, 129, 130,	 200, 255,
					256, 257, 384, 511, 512, 513, 768, 1023, 1024};

	for (size_t i = 0; i < COUNT(dims); i++) {
		check_shape(2, 2, 37, 41, dims[i], false);
		check_shape(2, 2, 37, 41, dims[i], true);
	}
}

static void wrong_answer_at_some_sequence_length(void **state)
{
	static const uint32_t lens[] = {1,   2,	  3,   4,   5,	 6,   7,   8,	9,   11,  13,
					15,  16,  17,  23,  31,	 32,  33,  47,	48,  49,  63,
					64,  65,  79,  80,  81,	 95,  96,  97,	111, 127, 128,
					129, 130, 191, 192, 193, 255, 256, 257, 260};

	for (size_t i = 0; i < COUNT(lens); i++) {
		check_shape(1, 1, lens[i], lens[i], 20, false);
		check_shape(1, 1, lens[i], lens[i], 20, true);
	}
}

static void wrong_answer_when_query_and_key_lengths_differ(void **state)
{
	static const uint32_t q[] = {1, 3, 16, 17, 64, 70, 130},
			      kv[] = {1, 2, 15, 33, 64, 129, 260};

	for (size_t i = 0; i < COUNT(q); i++) {
		for (size_t j = 0; j < COUNT(kv); j++) {
			check_shape(1, 1, q[i], kv[j], 24, false);
			check_shape(1, 1, q[i], kv[j], 24, true);
		}
	}
}

static void wrong_head_read_with_shared_keys(void **state)
{
	check_shape(8, 8, 33, 33, 16, true);
	check_shape(8, 2, 33, 33, 16, false);
	check_shape(8, 1, 33, 70, 16, true);
}

static void wrong_answer_with_a_block_size_of_ones_own(void **state)
{
	static const uint32_t bk[] = {1, 5, 16, 33, 64, 100, 512};
	struct problem p;

	for (uint32_t bq = 8; bq <= ATTENTION_MAX_BLOCK_Q; bq += 8) {
		for (size_t i = 0; i < COUNT(bk); i++) {
			problem_init(&p, 1, 1, 100, 120, 33, i % 2);
			p.a.block_q = bq;
			p.a.block_k = bk[i];
			check_all_variants(&p);
			problem_fini(&p);
		}
	}
}

static void a_sliding_window_slides_elsewhere(void **state)
{
	static const uint32_t windows[] = {1, 2, 7, 8, 15, 16, 17, 33, 64, 100, 129, 500};
	static const uint32_t lens[][2] = {{100, 100}, {33, 257}, {129, 40}, {1, 200}};
	struct problem p;

	for (size_t i = 0; i < COUNT(windows); i++) {
		for (size_t j = 0; j < 2 * COUNT(lens); j++) {
			problem_init(&p, 2, 1, lens[j / 2][0], lens[j / 2][1], 20, j % 2);
			p.a.window = windows[i];
			p.a.block_k = 40;
			check_all_variants(&p);
			problem_fini(&p);
		}
	}
}

/* [row][head][dim], as a model lays its projections out. */
static void wrong_answer_with_interleaved_heads(void **state)
{
	struct problem p;

	problem_init(&p, 4, 4, 50, 50, 20, true);
	p.a.q_head = p.a.k_head = p.a.v_head = p.a.o_head = 20;
	p.a.q_row = p.a.k_row = p.a.v_row = p.a.o_row = 80;
	check_all_variants(&p);
	problem_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_answer_at_some_head_dim),
		cmocka_unit_test(wrong_answer_at_some_sequence_length),
		cmocka_unit_test(wrong_answer_when_query_and_key_lengths_differ),
		cmocka_unit_test(wrong_head_read_with_shared_keys),
		cmocka_unit_test(wrong_answer_with_a_block_size_of_ones_own),
		cmocka_unit_test(a_sliding_window_slides_elsewhere),
		cmocka_unit_test(wrong_answer_with_interleaved_heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
