/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_decode.c: every decode variant against the double-precision reference, and stored rows.
 * Long because each contract of the kernels has a case of its own, over one set of inputs.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define FOR_DECODE_ROWS(row)                                                           \
	for (const struct kernel *row = kernels; row < kernels + kernels_count; row++) \
		if (row->kind == KERNEL_decode && kernels_supported(row))

static uint32_t random_state = 12345;

static float random_float(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) / (float)(1 << 24) - 0.5f;
}

/* Stored rows at addresses aligned to their element and no more, and so are q and out. */
struct problem {
	struct decode d;
	char *mem;
	float *q, *got, *want, *scales;
	char *k, *v;
	size_t q_size, k_rows;
	void *scratch;
	size_t scratch_bytes;
};

static void *carve(char **at, size_t bytes, size_t align)
{
	char *p = *at + align;

	*at = p + (bytes + 63) / 64 * 64;
	return p;
}

static void store(struct problem *p, const float *k, const float *v, size_t row)
{
	struct kv_view *kv = &p->d.kv;

	kv_store_row(kv->type, k, p->d.head_dim, p->k + row * kv->row_bytes, p->scales + row);
	kv_store_row(kv->type, v, p->d.head_dim, p->v + row * kv->row_bytes,
		     p->scales + p->k_rows + row);
}

static void problem_scratch(struct problem *p)
{
	free(p->scratch);
	p->scratch_bytes = decode_scratch(&p->d) + 256;
	p->scratch = aligned_alloc(DECODE_ALIGN, p->scratch_bytes);
	assert_non_null(p->scratch);
}

static void problem_init(struct problem *p, enum kv_type type, uint32_t heads, uint32_t kv_heads,
			 uint32_t q_len, uint32_t kv_len, uint32_t dim)
{
	float k[DECODE_MAX_DIM], v[DECODE_MAX_DIM];
	size_t bytes;
	char *at;

	memset(p, 0, sizeof(*p));
	decode_set_packed(&p->d, type, heads, kv_heads, q_len, kv_len, dim);
	p->q_size = (size_t)heads * q_len * dim;
	p->k_rows = (size_t)kv_heads * kv_len;
	bytes = 3 * p->q_size * sizeof(float) + 2 * p->k_rows * (p->d.kv.row_bytes + 4) + 1024;
	at = p->mem = malloc(bytes);
	assert_non_null(p->mem);
	p->q = carve(&at, p->q_size * sizeof(float), sizeof(float));
	p->got = carve(&at, p->q_size * sizeof(float), sizeof(float));
	p->want = carve(&at, p->q_size * sizeof(float), sizeof(float));
	p->scales = carve(&at, 2 * p->k_rows * sizeof(float), sizeof(float));
	p->k = carve(&at, p->k_rows * p->d.kv.row_bytes, kv_element_bytes(type));
	p->v = carve(&at, p->k_rows * p->d.kv.row_bytes, kv_element_bytes(type));
	for (size_t i = 0; i < p->q_size; i++)
		p->q[i] = 4 * random_float();
	for (size_t row = 0; row < p->k_rows; row++) {
		for (uint32_t c = 0; c < dim; c++) {
			k[c] = 4 * random_float();
			v[c] = 4 * random_float();
		}
		store(p, k, v, row);
	}
	p->d.q = p->q;
	p->d.out = p->got;
	p->d.kv.k = p->k;
	p->d.kv.v = p->v;
	if (type == KV_I8) {
		p->d.kv.k_scale = p->scales;
		p->d.kv.v_scale = p->scales + p->k_rows;
	}
	problem_scratch(p);
}

static void problem_fini(struct problem *p)
{
	free(p->scratch);
	free(p->mem);
}

static void reference(struct problem *p)
{
	p->d.out = p->want;
	assert_int_equal(decode_ref(&p->d, p->scratch, p->scratch_bytes), 0);
	p->d.out = p->got;
}

/* The bound of decode.h for row r of KV head g. */
static double row_bound(const struct decode *d, const float *q, uint32_t g)
{
	double a = 0, e = 0, vmax = 0, qmax = 0;
	float row[DECODE_MAX_DIM], scale;

	for (uint32_t c = 0; c < d->head_dim; c++)
		qmax = fmax(qmax, fabs(q[c]));
	for (uint32_t j = 0; j < d->kv_len; j++) {
		double sum = 0, keys = 0;

		kv_load_row(d->kv.type, kv_key(&d->kv, g, j, &scale), 1, d->head_dim, row);
		for (uint32_t c = 0; c < d->head_dim; c++) {
			sum += fabs((double)q[c] * row[c] * scale);
			keys += fabs((double)row[c] * scale);
		}
		a = fmax(a, d->scale * sum);
		e = fmax(e, 0x1p-15 * d->scale * qmax * keys);
		kv_load_row(d->kv.type, kv_value(&d->kv, g, j, &scale), scale, d->head_dim, row);
		for (uint32_t c = 0; c < d->head_dim; c++)
			vmax = fmax(vmax, fabs(row[c]));
	}
	return (DECODE_ERROR * (1 + a) + (d->kv.type == KV_I8 ? e : 0)) * vmax;
}

/* Exactly the scratch that the header asks for, filled with rubbish. */
static void run_row(struct problem *p, const struct kernel *k)
{
	size_t need = decode_scratch(&p->d);

	assert_true(need <= p->scratch_bytes);
	memset(p->scratch, 0xff, p->scratch_bytes);
	memset(p->got, 0xff, p->q_size * sizeof(float));
	assert_int_equal(k->run.decode(&p->d, p->scratch, need), 0);
	for (size_t i = need; i < p->scratch_bytes; i++)
		if (((unsigned char *)p->scratch)[i] != 0xff)
			fail_msg("%s %s wrote beyond its scratch", k->name, isa_name(k->isa));
}

static void compare(const struct problem *p, const struct kernel *k)
{
	const struct decode *d = &p->d;

	for (uint32_t h = 0; h < d->heads; h++) {
		for (uint32_t i = 0; i < d->q_len; i++) {
			size_t at = h * d->q_head + i * d->q_row;
			double bound = row_bound(d, d->q + at, h / (d->heads / d->kv_heads));

			for (uint32_t c = 0; c < d->head_dim; c++) {
				double got = p->got[at + c], want = p->want[at + c];

				if (!(fabs(got - want) <= bound))
					fail_msg("%s %s %s: H%u/%u q%u kv%u D%u causal%d window%u "
						 "page%u threads%u: head %u row %u dim %u: %g, not "
						 "%g (bound %g)",
						 k->name, isa_name(k->isa),
						 kv_type_name(d->kv.type), d->heads, d->kv_heads,
						 d->q_len, d->kv_len, d->head_dim, d->causal,
						 d->window, d->kv.page_tokens, d->threads, h, i, c,
						 got, want, bound);
			}
		}
	}
}

static void check(struct problem *p)
{
	reference(p);
	FOR_DECODE_ROWS(k)
	{
		run_row(p, k);
		compare(p, k);
	}
}

static void check_shape(uint32_t heads, uint32_t kv_heads, uint32_t q_len, uint32_t kv_len,
			uint32_t dim)
{
	for (int type = 0; type < KV_TYPES; type++) {
		struct problem p;

		problem_init(&p, (enum kv_type)type, heads, kv_heads, q_len, kv_len, dim);
		check(&p);
		problem_fini(&p);
	}
}

static void wrong_answer_at_some_head_dim(void **state)
{
	for (uint32_t dim = 1; dim <= 70; dim++) {
		check_shape(3, 1, 1, 37, dim);
		check_shape(8, 1, 1, 33, dim);
	}
	for (uint32_t dim = 95; dim <= DECODE_MAX_DIM; dim += dim < 130 || dim > 250 ? 1 : 13)
		check_shape(dim % 2 ? 1 : 7, 1, 1, 21, dim);
}

static void wrong_answer_at_some_number_of_keys(void **state)
{
	static const uint32_t lens[] = {255, 256, 257, 260, 511, 512, 513, 700, 1025, 1537};

	for (uint32_t n = 1; n <= 70; n++)
		check_shape(1, 1, 1, n, 20);
	for (size_t i = 0; i < COUNT(lens); i++) {
		check_shape(1, 1, 1, lens[i], 20);
		check_shape(8, 1, 1, lens[i], 33);
	}
}

static void wrong_answer_with_some_number_of_heads_a_key(void **state)
{
	for (uint32_t heads = 1; heads <= 17; heads++)
		check_shape(heads, 1, 1, 67, 40);
	check_shape(8, 8, 1, 100, 24);
	check_shape(12, 3, 1, 100, 24);
	check_shape(6, 2, 3, 100, 24);
}

static void wrong_keys_seen_by_several_queries(void **state)
{
	static const uint32_t lens[] = {1, 3, 5, 30, 300}, windows[] = {0, 1, 2, 17, 100, 1000};

	for (size_t i = 0; i < COUNT(lens) * COUNT(windows) * 2; i++) {
		for (int type = 0; type < KV_TYPES; type++) {
			struct problem p;

			problem_init(&p, (enum kv_type)type, 4, 2, 5, lens[i / 2 % COUNT(lens)],
				     18);
			p.d.causal = i % 2;
			p.d.window = windows[i / 2 / COUNT(lens)];
			problem_scratch(&p);
			check(&p);
			if (lens[i / 2 % COUNT(lens)] == 1 && p.d.causal)
				for (int c = 0; c < 18; c++)
					assert_true(p.got[c] == 0); /* it sees nothing */
			problem_fini(&p);
		}
	}
}

static void threads_lose_keys(void **state)
{
	static const uint32_t threads[] = {1, 2, 3, 5, 8, 64};

	for (size_t i = 0; i < COUNT(threads) * 4; i++) {
		for (int type = 0; type < KV_TYPES; type++) {
			struct problem p;

			problem_init(&p, (enum kv_type)type, 4, i % 2 ? 4 : 1, 2, 1337, 24);
			p.d.threads = threads[i / 4];
			p.d.causal = true;
			p.d.window = i % 4 == 3 ? 1000 : 0;
			problem_scratch(&p);
			check(&p);
			problem_fini(&p);
		}
	}
}

/* The contiguous rows moved to pages in a shuffled order, scales in the page behind its rows. */
static char *paginate(const struct problem *p, struct decode *paged, uint32_t page_tokens,
		      uint32_t *table)
{
	const struct kv_view *kv = &p->d.kv;
	uint32_t pages = (p->d.kv_len + page_tokens - 1) / page_tokens;
	size_t rows = page_tokens * kv->row_bytes, half, head, page;
	char *mem;

	rows = (rows + 3) / 4 * 4;
	half = rows + page_tokens * sizeof(float);
	head = 2 * half;
	page = head * p->d.kv_heads;
	mem = malloc(pages * page);
	assert_non_null(mem);
	memset(mem, 0xff, pages * page);
	for (uint32_t i = 0; i < pages; i++)
		table[i] = (i * 7 + 3) % pages;
	if (pages % 7 == 0)
		for (uint32_t i = 0; i < pages; i++)
			table[i] = pages - 1 - i;
	for (uint32_t g = 0; g < p->d.kv_heads; g++) {
		for (uint32_t j = 0; j < p->d.kv_len; j++) {
			char *at = mem + table[j / page_tokens] * page + g * head;
			uint32_t row = j % page_tokens;
			float scale;

			memcpy(at + row * kv->row_bytes, kv_key(kv, g, j, &scale), kv->row_bytes);
			memcpy(at + rows + row * sizeof(float), &scale, sizeof(float));
			memcpy(at + half + row * kv->row_bytes, kv_value(kv, g, j, &scale),
			       kv->row_bytes);
			memcpy(at + half + rows + row * sizeof(float), &scale, sizeof(float));
		}
	}
	*paged = p->d;
	paged->kv = (struct kv_view){
		.type = kv->type,
		.k = mem,
		.v = mem + half,
		.k_scale = (const float *)(const void *)(mem + rows),
		.v_scale = (const float *)(const void *)(mem + half + rows),
		.head_bytes = head,
		.row_bytes = kv->row_bytes,
		.scale_head_bytes = head,
		.pages = table,
		.page_tokens = page_tokens,
		.page_bytes = page,
	};
	return mem;
}

/* Not one bit: pages change where keys are, and nothing in the order of sums. */
static void check_pages(struct problem *p, uint32_t page_tokens)
{
	const struct decode contiguous = p->d;
	uint32_t table[300];
	char *mem;

	reference(p);
	FOR_DECODE_ROWS(k)
	{
		p->d = contiguous;
		run_row(p, k);
		compare(p, k);
		memcpy(p->want, p->got, p->q_size * sizeof(float));
		mem = paginate(p, &p->d, page_tokens, table);
		run_row(p, k);
		if (memcmp(p->want, p->got, p->q_size * sizeof(float)) != 0)
			fail_msg("%s %s %s: H%u/%u D%u: pages of %u tokens differ", k->name,
				 isa_name(k->isa), kv_type_name(p->d.kv.type), p->d.heads,
				 p->d.kv_heads, p->d.head_dim, page_tokens);
		free(mem);
		p->d = contiguous;
		reference(p);
	}
}

static void pages_change_the_answer(void **state)
{
	static const uint32_t sizes[] = {1, 3, 5, 16, 17, 64, 1000};
	static const uint32_t shapes[][3] = {
		{6, 6, 36}, {6, 2, 36}, {2, 2, 64}, {2, 2, 128}, {8, 1, 40}}; /* heads, KV, dim */

	for (size_t i = 0; i < COUNT(sizes) * COUNT(shapes) * 2; i++) {
		const uint32_t *shape = shapes[i / 2 % COUNT(shapes)];

		for (int type = 0; type < KV_TYPES; type++) {
			struct problem p;

			problem_init(&p, (enum kv_type)type, shape[0], shape[1], 1, 293, shape[2]);
			p.d.threads = 1 + i % 2;
			problem_scratch(&p);
			check_pages(&p, sizes[i / 2 / COUNT(shapes)]);
			problem_fini(&p);
		}
	}
}

static void overflow_with_large_logits(void **state)
{
	static const float factors[] = {0, 1e-20f, 30, 1e3f, 1e9f, 1e15f};

	for (size_t f = 0; f < COUNT(factors) * KV_TYPES; f++) {
		struct problem p;

		problem_init(&p, (enum kv_type)(f % KV_TYPES), 2, 1, 1, 70, 16);
		for (size_t i = 0; i < p.q_size; i++)
			p.q[i] *= factors[f / KV_TYPES];
		check(&p);
		for (size_t i = 0; i < p.q_size; i++)
			assert_true(isfinite(p.want[i]));
		problem_fini(&p);
	}
}

/* q is positive, so a key of -inf gives a logit of -inf: hidden, wherever it is. */
static void keys_of_minus_infinity_still_weigh(void **state)
{
	for (int type = KV_F32; type <= KV_BF16; type++) {
		float hidden[8], v[8] = {1, 2, 3, 4, 5, 6, 7, 8};
		struct problem p;

		problem_init(&p, (enum kv_type)type, 3, 1, 1, 700, 8);
		for (size_t i = 0; i < p.q_size; i++)
			p.q[i] = fabsf(p.q[i]) + 0.1f;
		for (int c = 0; c < 8; c++)
			hidden[c] = -INFINITY;
		for (uint32_t j = 0; j < 700; j++)
			if (j < 600 || j % 3 == 0) /* a whole first block hidden too */
				store(&p, hidden, v, j);
		reference(&p);
		FOR_DECODE_ROWS(k)
		{
			run_row(&p, k);
			for (size_t i = 0; i < p.q_size; i++)
				assert_true(isfinite(p.got[i]) &&
					    fabsf(p.got[i] - p.want[i]) <= 1e-4f);
		}
		for (uint32_t j = 0; j < 700; j++)
			store(&p, hidden, v, j);
		p.d.threads = 2;
		problem_scratch(&p);
		FOR_DECODE_ROWS(k)
		{
			run_row(&p, k);
			for (size_t i = 0; i < p.q_size; i++)
				assert_true(p.got[i] == 0);
		}
		problem_fini(&p);
	}
}

static void a_bad_query_is_hidden_or_spoils_others(void **state)
{
	for (int type = 0; type < KV_TYPES; type++) {
		struct problem p;

		problem_init(&p, (enum kv_type)type, 6, 1, 1, 300, 12);
		p.q[4 * 12 + 5] = NAN;
		reference(&p);
		FOR_DECODE_ROWS(k)
		{
			run_row(&p, k);
			for (uint32_t i = 0; i < p.q_size; i++)
				assert_true(i / 12 == 4 ? isnan(p.got[i])
							: fabsf(p.got[i] - p.want[i]) <= 1e-3f);
		}
		problem_fini(&p);
	}
}

/* What is stored and then found to be NaN must not vanish: an int8 code cannot hold it. */
static void a_bad_key_is_hidden(void **state)
{
	for (int type = 0; type < KV_TYPES; type++) {
		float k[12], v[12];
		struct problem p;

		problem_init(&p, (enum kv_type)type, 2, 1, 1, 40, 12);
		for (int c = 0; c < 12; c++)
			k[c] = v[c] = 1;
		k[7] = NAN;
		store(&p, k, v, 33);
		FOR_DECODE_ROWS(row)
		{
			run_row(&p, row);
			for (uint32_t i = 0; i < p.q_size; i++)
				assert_true(isnan(p.got[i]));
		}
		problem_fini(&p);
	}
}

/* Two values that the first two of five queries do not see yet, and one that has left the window of
 * all but the first. */
static void check_hidden_value(enum kv_type type, uint32_t heads, uint32_t window, uint32_t threads)
{
	static const uint32_t at[] = {598, 597, 592};
	const float bad[] = {NAN, INFINITY, NAN};
	float k[12] = {1, -1}, v[12];
	struct problem p;

	problem_init(&p, type, heads, 1, 5, 600, 12);
	p.d.causal = true;
	p.d.window = window;
	p.d.threads = threads;
	problem_scratch(&p);
	for (int j = 0; j < (window ? 3 : 2); j++) {
		for (int c = 0; c < 12; c++)
			v[c] = bad[j];
		store(&p, k, v, at[j]);
	}
	reference(&p);
	assert_true(isfinite(p.want[12]) && !isfinite(p.want[2 * 12]));
	FOR_DECODE_ROWS(row)
	{
		run_row(&p, row);
		for (size_t i = 0; i < p.q_size; i++)
			assert_true(isfinite(p.want[i]) ? fabsf(p.got[i] - p.want[i]) <= 1e-3f
							: !isfinite(p.got[i]));
	}
	problem_fini(&p);
}

static void a_hidden_value_still_reaches_a_query(void **state)
{
	for (int type = 0; type < KV_TYPES; type++)
		for (uint32_t heads = 1; heads <= 3; heads++)
			for (uint32_t i = 0; i < 4; i++)
				check_hidden_value((enum kv_type)type, heads, i % 2 * 4, 1 + i / 2);
}

static void a_bad_shape_is_accepted(void **state)
{
	struct problem p;

	problem_init(&p, KV_I8, 4, 2, 1, 8, 8);
	FOR_DECODE_ROWS(k)
	{
		uint32_t table[8] = {0};
		struct decode bad[22];
		size_t need = decode_scratch(&p.d);

		for (size_t i = 0; i < COUNT(bad); i++)
			bad[i] = p.d;
		bad[0].q = NULL;
		bad[1].out = NULL;
		bad[2].kv.k = NULL;
		bad[3].kv.v = NULL;
		bad[4].kv.k_scale = NULL;
		bad[5].kv.v_scale = NULL;
		bad[6].heads = 0;
		bad[7].kv_heads = 3;
		bad[8].kv_heads = 0;
		bad[9].q_len = 0;
		bad[10].kv_len = 0;
		bad[11].head_dim = 0;
		bad[12].head_dim = DECODE_MAX_DIM + 1;
		bad[13].scale = NAN;
		bad[14].kv.type = KV_TYPES;
		bad[15].threads = DECODE_MAX_THREADS + 1;
		bad[16].q_len = DECODE_MAX_ROWS / 2 + 1;
		bad[17].kv_len = UINT32_MAX;
		bad[18].kv.pages = table; /* of no tokens */
		bad[19].kv.scale_head_bytes = 6;
		bad[20].kv.type = KV_F32;
		bad[20].kv.row_bytes = 33;
		bad[21].kv.pages = table;
		bad[21].kv.page_tokens = 16;
		bad[21].kv.page_bytes = 129;
		for (size_t i = 0; i < COUNT(bad); i++)
			assert_int_equal(k->run.decode(&bad[i], p.scratch, p.scratch_bytes),
					 -EINVAL);
		assert_int_equal(k->run.decode(NULL, p.scratch, need), -EINVAL);
		assert_int_equal(k->run.decode(&p.d, NULL, need), -EINVAL);
		assert_int_equal(k->run.decode(&p.d, p.scratch, need - 1), -EINVAL);
		assert_int_equal(k->run.decode(&p.d, (char *)p.scratch + 4, need), -EINVAL);
		assert_int_equal(k->run.decode(&p.d, p.scratch, need), 0);
	}
	problem_fini(&p);
}

static void scratch_grows_with_the_sequence(void **state)
{
	struct decode a, b;

	decode_set_packed(&a, KV_F32, 8, 8, 1, 1000, 64);
	decode_set_packed(&b, KV_F32, 8, 8, 1, 1 << 20, 64);
	assert_int_equal(decode_scratch(&a), decode_scratch(&b));
	assert_true(decode_scratch(&b) <= 16 * 1024);
	decode_set_packed(&b, KV_I8, 8, 1, 1, 1 << 20, 128);
	assert_true(decode_scratch(&b) <= 32 * 1024);
}

static float from_bits(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

/* Exactly between two, the one whose last bit is 0; one bit more or less, the nearer. */
static void bf16_rounds_to_the_wrong_side(void **state)
{
	static const struct {
		uint32_t from, to;
	} rows[] = {
		{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81},
		{0x3f817fff, 0x3f81}, {0x3f818000, 0x3f82}, {0x3f818001, 0x3f82},
		{0xbf808000, 0xbf80}, {0x7f7fffff, 0x7f80}, {0x7f800000, 0x7f80},
		{0xff800000, 0xff80}, {0x00000000, 0x0000}, {0x80000000, 0x8000},
		{0x00008000, 0x0000}, {0x00018000, 0x0002},
	};
	uint16_t half;
	float x, back, scale;

	for (size_t i = 0; i < COUNT(rows); i++) {
		x = from_bits(rows[i].from);
		kv_store_row(KV_BF16, &x, 1, &half, &scale);
		assert_int_equal(half, rows[i].to);
		kv_load_row(KV_BF16, &half, 1, 1, &back);
		assert_true(back == from_bits(rows[i].to << 16));
	}
	x = from_bits(0x7f800001); /* a NaN with nothing in the bits that stay */
	kv_store_row(KV_BF16, &x, 1, &half, &scale);
	kv_load_row(KV_BF16, &half, 1, 1, &back);
	assert_true(isnan(back));
	for (int i = 0; i < 10000; i++) {
		x = random_float() * 100;
		kv_store_row(KV_BF16, &x, 1, &half, &scale);
		kv_load_row(KV_BF16, &half, 1, 1, &back);
		assert_true(fabsf(back - x) <= 0x1p-8f * fabsf(x));
	}
}

static void int8_loses_more_than_half_a_step(void **state)
{
	static const float sizes[] = {1e-30f, 1e-3f, 1, 7777, 1e30f};
	float x[100], back[100], scale;
	int8_t codes[100];

	for (size_t f = 0; f < COUNT(sizes); f++) {
		for (int i = 0; i < 100; i++)
			x[i] = sizes[f] * random_float();
		kv_store_row(KV_I8, x, 100, codes, &scale);
		kv_load_row(KV_I8, codes, scale, 100, back);
		for (int i = 0; i < 100; i++)
			assert_true(fabs((double)back[i] - x[i]) <= 0.5001 * (double)scale);
	}
	memset(x, 0, sizeof(x));
	kv_store_row(KV_I8, x, 100, codes, &scale);
	assert_true(scale == 0 && codes[0] == 0);
	x[50] = INFINITY;
	kv_store_row(KV_I8, x, 100, codes, &scale);
	assert_true(isnan(scale));
	x[50] = FLT_MAX;
	kv_store_row(KV_I8, x, 100, codes, &scale);
	assert_int_equal(codes[50], 127);
}

static void work_is_miscounted(void **state)
{
	for (uint32_t i = 0; i < 400; i++) {
		uint32_t q = 1 + i % 5, kv = 1 + i / 5 % 20, window = i / 100 * 3;
		struct decode d;
		uint64_t pairs = 0;

		decode_set_packed(&d, KV_BF16, 4, 2, q, kv, 8);
		d.causal = true;
		d.window = window;
		for (int64_t r = 0; r < q; r++)
			for (int64_t j = 0; j < kv; j++)
				pairs += j <= r + kv - q && (!window || j > r + kv - q - window);
		assert_int_equal(decode_flops(&d), pairs * 4 * 8 * 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_answer_at_some_head_dim),
		cmocka_unit_test(wrong_answer_at_some_number_of_keys),
		cmocka_unit_test(wrong_answer_with_some_number_of_heads_a_key),
		cmocka_unit_test(wrong_keys_seen_by_several_queries),
		cmocka_unit_test(threads_lose_keys),
		cmocka_unit_test(pages_change_the_answer),
		cmocka_unit_test(overflow_with_large_logits),
		cmocka_unit_test(keys_of_minus_infinity_still_weigh),
		cmocka_unit_test(a_bad_query_is_hidden_or_spoils_others),
		cmocka_unit_test(a_bad_key_is_hidden),
		cmocka_unit_test(a_hidden_value_still_reaches_a_query),
		cmocka_unit_test(a_bad_shape_is_accepted),
		cmocka_unit_test(scratch_grows_with_the_sequence),
		cmocka_unit_test(bf16_rounds_to_the_wrong_side),
		cmocka_unit_test(int8_loses_more_than_half_a_step),
		cmocka_unit_test(work_is_miscounted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
