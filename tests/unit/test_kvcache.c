/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kvcache.c: pages of keys and values against a naive model, and decode over them.
 * Long because the model, its check of every invariant and the cases share one harness.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "kernels/kvcache/kvcache.h"
#include "kernels/kvcache/kvcache_pages.h"

enum { LAYERS = 2, HEADS = 2, DIM = 3, PAGE = 4, SEQUENCES = 12, TOKENS = 64, GUARD = 128 };

static uint32_t random_state = 12345;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)(random_state >> 4) * n >> 28);
}

/* What a sequence must hold, and all prompts that were ever committed, page by page. */
struct model {
	struct kvcache c;
	char *storage;
	size_t bytes;
	struct {
		bool open;
		uint32_t n, committed, tokens[TOKENS];
	} s[SEQUENCES];
	uint32_t (*known)[TOKENS]; /* prefixes in whole pages; known[i] is known_n[i] tokens long */
	uint32_t *known_n, known_count, known_room;
};

static const struct kvcache_shape small = {LAYERS, HEADS, DIM, KV_F32, PAGE, SEQUENCES, TOKENS};

static void model_init(struct model *m, uint32_t pages)
{
	memset(m, 0, sizeof(*m));
	m->bytes = kvcache_storage(&small, pages);
	m->storage = aligned_alloc(KVCACHE_ALIGN, m->bytes + GUARD);
	assert_non_null(m->storage);
	memset(m->storage, 0xa5, m->bytes + GUARD);
	assert_int_equal(kvcache_init(&m->c, &small, m->storage, m->bytes), 0);
	assert_int_equal(m->c.stats.pages, pages);
	m->known_room = 100000;
	m->known = malloc(m->known_room * sizeof(*m->known));
	m->known_n = malloc(m->known_room * sizeof(*m->known_n));
	assert_non_null(m->known);
	assert_non_null(m->known_n);
}

static void model_fini(struct model *m)
{
	free(m->known_n);
	free(m->known);
	free(m->storage);
}

/* A row depends on all tokens up to its own, as in a real model: a wrong prefix shows. */
static void row_of(const uint32_t *tokens, uint32_t t, uint32_t layer, uint32_t h, bool value,
		   float *row)
{
	uint64_t x = layer * 64 + h * 2 + value;

	for (uint32_t i = 0; i <= t; i++)
		x = (x + tokens[i] + 1) * 6364136223846793005u + 1442695040888963407u;
	for (uint32_t d = 0; d < DIM; d++)
		row[d] = (float)(x >> (20 + d) & 0xffff);
}

static void write_rows(struct model *m, uint32_t q, uint32_t from)
{
	static float k[TOKENS][HEADS][DIM], v[TOKENS][HEADS][DIM];
	uint32_t n = m->s[q].n - from;

	for (uint32_t layer = 0; layer < LAYERS; layer++) {
		for (uint32_t i = 0; i < n; i++) {
			for (uint32_t h = 0; h < HEADS; h++) {
				row_of(m->s[q].tokens, from + i, layer, h, false, k[i][h]);
				row_of(m->s[q].tokens, from + i, layer, h, true, v[i][h]);
			}
		}
		assert_int_equal(kvcache_write(&m->c, q, layer, from, n, k[0][0], v[0][0],
					       HEADS * DIM, DIM),
				 0);
	}
}

static void check_rows(const struct model *m, uint32_t q)
{
	struct kv_view view;
	float want[DIM], scale;

	assert_int_equal(kvcache_length(&m->c, q), m->s[q].n);
	for (uint32_t layer = 0; layer < LAYERS; layer++) {
		assert_int_equal(kvcache_view(&m->c, q, layer, &view), 0);
		for (uint32_t t = 0; t < m->s[q].committed; t++) {
			for (uint32_t h = 0; h < HEADS; h++) {
				row_of(m->s[q].tokens, t, layer, h, false, want);
				assert_memory_equal(kv_key(&view, h, t, &scale), want,
						    sizeof(want));
				row_of(m->s[q].tokens, t, layer, h, true, want);
				assert_memory_equal(kv_value(&view, h, t, &scale), want,
						    sizeof(want));
			}
		}
	}
}

/* Every page is where its references say, once, and the counts are right. */
static void check_pages(const struct model *m)
{
	const struct kvcache *c = &m->c;
	uint32_t refs[1024] = {0}, used = 0, cached = 0, unused = 0, older = KVCACHE_NONE;

	for (uint32_t q = 0; q < SEQUENCES; q++) {
		struct kv_view view;

		if (!m->s[q].open) {
			assert_int_equal(kvcache_view(c, q, 0, &view), -EINVAL);
			continue;
		}
		assert_int_equal(kvcache_view(c, q, 0, &view), 0);
		for (uint32_t i = 0; i < (m->s[q].n + PAGE - 1) / PAGE; i++)
			refs[view.pages[i]]++;
	}
	for (uint32_t i = 0; i < c->stats.pages; i++) {
		assert_int_equal(c->page[i].refs, refs[i]);
		used += refs[i] > 0;
	}
	for (uint32_t i = c->oldest; i != KVCACHE_NONE; older = i, i = c->page[i].newer, cached++) {
		assert_true(c->page[i].refs == 0 && c->page[i].indexed);
		assert_int_equal(c->page[i].older, older);
	}
	assert_int_equal(c->newest, older);
	for (uint32_t i = c->free; i != KVCACHE_NONE; i = c->page[i].newer, unused++)
		assert_true(c->page[i].refs == 0 && !c->page[i].indexed);
	assert_int_equal(used, c->stats.used);
	assert_int_equal(cached, c->stats.cached);
	assert_int_equal(unused, c->stats.free);
	assert_int_equal(used + cached + unused, c->stats.pages);
	for (size_t i = 0; i < GUARD; i++)
		assert_int_equal((unsigned char)m->storage[m->bytes + i], 0xa5);
}

static bool is_known(const struct model *m, const uint32_t *tokens, uint32_t n)
{
	for (uint32_t i = 0; i < m->known_count; i++)
		if (m->known_n[i] == n && !memcmp(m->known[i], tokens, n * sizeof(*tokens)))
			return true;
	return false;
}

static void model_commit(struct model *m, uint32_t q)
{
	assert_int_equal(kvcache_commit(&m->c, q), 0);
	m->s[q].committed = m->s[q].n;
	for (uint32_t n = PAGE; n <= m->s[q].n; n += PAGE) {
		if (is_known(m, m->s[q].tokens, n) || m->known_count == m->known_room)
			continue;
		memcpy(m->known[m->known_count], m->s[q].tokens, n * sizeof(uint32_t));
		m->known_n[m->known_count++] = n;
	}
}

/* Few different tokens, so that prompts often begin alike. With room for all, the hits are exactly
 * what was ever committed; with little, never more. */
static void model_open(struct model *m, bool room_for_all)
{
	uint32_t tokens[TOKENS], n = random_below(30), q, reused, want = 0;
	int err;

	for (uint32_t i = 0; i < n; i++)
		tokens[i] = random_below(i < 8 ? 2 : 3);
	while (want + PAGE < n && is_known(m, tokens, want + PAGE))
		want += PAGE;
	err = kvcache_open(&m->c, tokens, n, &q, &reused);
	if (err) {
		assert_int_equal(err, -ENOSPC);
		for (uint32_t i = 0; i < SEQUENCES; i++)
			assert_true(m->s[i].open);
		return;
	}
	assert_false(m->s[q].open);
	if (room_for_all)
		assert_int_equal(reused, want);
	assert_true(reused <= want && reused % PAGE == 0);
	m->s[q].open = true;
	m->s[q].n = m->s[q].committed = reused;
	memcpy(m->s[q].tokens, tokens, reused * sizeof(*tokens));
}

static void model_append(struct model *m, uint32_t q)
{
	uint32_t tokens[TOKENS], n = random_below(10), from = m->s[q].n, need;
	struct kv_view view;
	int err;

	for (uint32_t i = 0; i < n; i++)
		tokens[i] = random_below(3);
	kvcache_view(&m->c, q, 0, &view);
	need = (from + n + PAGE - 1) / PAGE - (from + PAGE - 1) / PAGE;
	need += n && from % PAGE && m->c.page[view.pages[from / PAGE]].refs > 1;
	err = kvcache_append(&m->c, q, tokens, n);
	if (from + n > TOKENS) {
		assert_int_equal(err, -ERANGE);
		return;
	}
	if (err) {
		assert_int_equal(err, -ENOSPC);
		assert_true(need > m->c.stats.free + m->c.stats.cached);
		return;
	}
	memcpy(m->s[q].tokens + from, tokens, n * sizeof(*tokens));
	m->s[q].n += n;
	write_rows(m, q, from);
	if (random_below(4))
		model_commit(m, q);
}

static void model_fork(struct model *m, uint32_t q)
{
	uint32_t to = KVCACHE_NONE;
	int err = kvcache_fork(&m->c, q, &to);

	if (m->s[q].committed != m->s[q].n) {
		assert_int_equal(err, -EINVAL);
	} else if (err) {
		assert_int_equal(err, -ENOSPC);
	} else {
		assert_false(m->s[to].open);
		m->s[to] = m->s[q];
	}
}

static void run_model(uint32_t pages, uint32_t steps, bool room_for_all)
{
	struct model m;

	model_init(&m, pages);
	for (uint32_t i = 0; i < steps; i++) {
		uint32_t q = random_below(SEQUENCES), what = random_below(10);

		if (what < 3) {
			model_open(&m, room_for_all);
		} else if (!m.s[q].open) {
			assert_int_equal(kvcache_close(&m.c, q), -EINVAL);
		} else if (what < 7) {
			model_append(&m, q);
		} else if (what < 8) {
			model_fork(&m, q);
		} else {
			assert_int_equal(kvcache_close(&m.c, q), 0);
			m.s[q].open = false;
		}
		check_pages(&m);
		for (q = 0; q < SEQUENCES; q++)
			if (m.s[q].open && (i % 8 == 0 || room_for_all))
				check_rows(&m, q);
	}
	assert_true(room_for_all || m.c.stats.evicted > 20);
	assert_true(m.c.stats.copied > 0 && m.c.stats.hit_tokens > 0);
	model_fini(&m);
}

static void a_random_run_with_room_for_all_goes_wrong(void **state)
{
	run_model(1000, 1500, true);
}

static void a_random_run_in_little_room_goes_wrong(void **state)
{
	run_model(5, 4000, false);
	run_model(20, 4000, false);
	run_model(40, 4000, false);
}

/* Opens a prompt, fills in what is not there, commits; returns what was reused. */
static uint32_t prompt(struct model *m, const uint32_t *tokens, uint32_t n, uint32_t *q)
{
	uint32_t reused;

	assert_int_equal(kvcache_open(&m->c, tokens, n, q, &reused), 0);
	assert_int_equal(kvcache_append(&m->c, *q, tokens + reused, n - reused), 0);
	m->s[*q].open = true;
	m->s[*q].n = n;
	memcpy(m->s[*q].tokens, tokens, n * sizeof(*tokens));
	write_rows(m, *q, reused);
	model_commit(m, *q);
	return reused;
}

static void a_known_prompt_is_computed_again(void **state)
{
	uint32_t a[20], b[20], q, r, s;
	struct model m;

	for (uint32_t i = 0; i < 20; i++)
		a[i] = b[i] = i;
	b[10] = 99;
	model_init(&m, 50);
	assert_int_equal(prompt(&m, a, 20, &q), 0);
	assert_int_equal(prompt(&m, a, 20, &r), 16); /* the last token is always run */
	assert_int_equal(prompt(&m, b, 20, &s), 8);  /* up to the page that differs */
	/* The three share pages 0 and 1; the second computed its last page again and gave it up. */
	assert_int_equal(m.c.stats.used, 5 + 0 + 3);
	kvcache_close(&m.c, q);
	kvcache_close(&m.c, r);
	kvcache_close(&m.c, s);
	assert_int_equal(m.c.stats.used, 0);
	assert_int_equal(prompt(&m, a, 19, &q), 16); /* nobody holds them, and they are there */
	assert_int_equal(m.c.stats.prompt_tokens, 79);
	assert_int_equal(m.c.stats.hit_tokens, 40);
	check_rows(&m, q);
	model_fini(&m);
}

static void what_was_not_committed_is_shared(void **state)
{
	uint32_t a[8] = {1, 2, 3, 4, 5, 6, 7, 8}, q, r, reused;
	struct model m;

	model_init(&m, 50);
	assert_int_equal(kvcache_open(&m.c, a, 8, &q, &reused), 0);
	assert_int_equal(kvcache_append(&m.c, q, a, 8), 0);
	assert_int_equal(kvcache_open(&m.c, a, 8, &r, &reused), 0);
	assert_int_equal(reused, 0);
	assert_int_equal(kvcache_fork(&m.c, q, &r), -EINVAL);
	model_fini(&m);
}

static void a_fork_writes_into_its_parent(void **state)
{
	uint32_t a[6] = {1, 2, 3, 4, 5, 6}, b[2] = {7, 8}, d = 9, q, f;
	struct model m;

	model_init(&m, 50);
	prompt(&m, a, 6, &q);
	assert_int_equal(kvcache_fork(&m.c, q, &f), 0);
	m.s[f] = m.s[q];
	assert_int_equal(m.c.stats.used, 2);
	assert_int_equal(kvcache_append(&m.c, f, b, 2), 0);
	assert_int_equal(m.c.stats.copied, 1);
	memcpy(m.s[f].tokens + 6, b, sizeof(b));
	m.s[f].n = 8;
	write_rows(&m, f, 6);
	model_commit(&m, f);
	assert_int_equal(kvcache_append(&m.c, q, &d, 1), 0); /* alone now: no copy */
	assert_int_equal(m.c.stats.copied, 1);
	m.s[q].tokens[6] = d;
	m.s[q].n = 7;
	write_rows(&m, q, 6);
	model_commit(&m, q);
	check_rows(&m, q);
	check_rows(&m, f);
	check_pages(&m);
	model_fini(&m);
}

static void the_wrong_page_is_thrown_out(void **state)
{
	uint32_t a[13], b[9], q, r;
	struct model m;

	for (uint32_t i = 0; i < 13; i++)
		a[i] = i;
	for (uint32_t i = 0; i < 9; i++)
		b[i] = 100 + i;
	model_init(&m, 7);
	prompt(&m, a, 13, &q); /* 3 full pages and one begun */
	kvcache_close(&m.c, q);
	prompt(&m, b, 9, &q); /* 3 of the 4 free ones */
	assert_int_equal(m.c.stats.evicted, 0);
	b[0] = 50;
	prompt(&m, b, 8, &r); /* one free, then the last page of a goes */
	assert_int_equal(m.c.stats.evicted, 1);
	kvcache_close(&m.c, q);
	kvcache_close(&m.c, r);
	assert_int_equal(prompt(&m, a, 13, &q), 8);
	model_fini(&m);
}

static void a_full_cache_is_not_refused(void **state)
{
	uint32_t a[TOKENS + 1] = {0}, q, r, reused;
	struct model m;

	model_init(&m, 3);
	assert_int_equal(kvcache_open(&m.c, a, TOKENS + 1, &q, &reused), -ERANGE);
	assert_int_equal(kvcache_open(&m.c, a, 4, &q, &reused), 0);
	assert_int_equal(kvcache_append(&m.c, q, a, 13), -ENOSPC);
	assert_int_equal(kvcache_length(&m.c, q), 0); /* all or nothing */
	assert_int_equal(m.c.stats.free, 3);
	assert_int_equal(kvcache_append(&m.c, q, a, 12), 0);
	assert_int_equal(kvcache_open(&m.c, a, 4, &r, &reused), 0);
	assert_int_equal(kvcache_append(&m.c, r, a, 1), -ENOSPC);
	assert_int_equal(kvcache_close(&m.c, q), 0);
	assert_int_equal(kvcache_append(&m.c, r, a, 1), 0);
	assert_int_equal(kvcache_append(&m.c, r, a, TOKENS), -ERANGE);
	for (uint32_t i = 1; i < SEQUENCES; i++)
		assert_int_equal(kvcache_open(&m.c, a, 0, &q, &reused), 0);
	assert_int_equal(kvcache_open(&m.c, a, 0, &q, &reused), -ENOSPC);
	assert_int_equal(kvcache_fork(&m.c, q, &r), -ENOSPC);
	model_fini(&m);
}

static void nonsense_is_accepted(void **state)
{
	struct kvcache_shape bad[9];
	uint32_t tokens[8] = {0}, q, reused;
	float rows[8 * HEADS * DIM] = {0};
	struct kv_view view;
	struct kvcache c;
	struct model m;

	model_init(&m, 10);
	for (int i = 0; i < 9; i++)
		bad[i] = small;
	bad[0].layers = 0;
	bad[1].kv_heads = 0;
	bad[2].head_dim = 0;
	bad[3].type = KV_TYPES;
	bad[4].page_tokens = 0;
	bad[5].page_tokens = KVCACHE_MAX_PAGE_TOKENS + 1;
	bad[6].max_sequences = 0;
	bad[7].max_tokens = 0;
	bad[8].max_tokens = UINT32_MAX;
	for (int i = 0; i < 9; i++) {
		assert_int_equal(kvcache_init(&c, &bad[i], m.storage, m.bytes), -EINVAL);
		assert_int_equal(kvcache_storage(&bad[i], 1), 0);
	}
	assert_int_equal(kvcache_init(&c, &small, m.storage + 4, m.bytes - 4), -EINVAL);
	assert_int_equal(kvcache_init(&c, &small, NULL, m.bytes), -EINVAL);
	assert_int_equal(kvcache_init(&c, &small, m.storage, 100), -ENOSPC);
	assert_int_equal(kvcache_init(&c, &small, m.storage, m.bytes - 1), 0);
	assert_int_equal(c.stats.pages, 9);
	model_fini(&m);
	model_init(&m, 10);
	assert_int_equal(kvcache_open(&m.c, NULL, 3, &q, &reused), -EINVAL);
	assert_int_equal(kvcache_open(&m.c, tokens, 8, &q, &reused), 0);
	assert_int_equal(kvcache_append(&m.c, q, tokens, 8), 0);
	assert_int_equal(kvcache_append(&m.c, q + 1, tokens, 1), -EINVAL);
	assert_int_equal(kvcache_append(&m.c, SEQUENCES, tokens, 1), -EINVAL);
	assert_int_equal(kvcache_append(&m.c, q, NULL, 1), -EINVAL);
	assert_int_equal(kvcache_write(&m.c, q, LAYERS, 0, 8, rows, rows, 6, 3), -EINVAL);
	assert_int_equal(kvcache_write(&m.c, q, 0, 1, 8, rows, rows, 6, 3), -EINVAL);
	assert_int_equal(kvcache_write(&m.c, q, 0, 9, 0, rows, rows, 6, 3), -EINVAL);
	assert_int_equal(kvcache_write(&m.c, q, 0, 0, 8, NULL, rows, 6, 3), -EINVAL);
	assert_int_equal(kvcache_write(&m.c, q, 0, 0, 8, rows, rows, 6, 3), 0);
	assert_int_equal(kvcache_commit(&m.c, q), 0);
	/* Shared from now on, so not to be written again. */
	assert_int_equal(kvcache_write(&m.c, q, 0, 7, 1, rows, rows, 6, 3), -EINVAL);
	assert_int_equal(kvcache_commit(&m.c, q + 1), -EINVAL);
	assert_int_equal(kvcache_fork(&m.c, q + 1, &q), -EINVAL);
	assert_int_equal(kvcache_view(&m.c, q, LAYERS, &view), -EINVAL);
	assert_int_equal(kvcache_length(&m.c, q + 1), 0);
	model_fini(&m);
}

/* The rows of one layer, of all tokens, as decode would want them in one piece. */
struct rows {
	float *k, *v; /* [token][head][dim] */
	char *codes;
	float *scales;
};

static void check_decode(enum kv_type type, uint32_t page_tokens, uint32_t dim)
{
	enum { N = 133, KV = 2, Q = 6 };
	struct kvcache_shape shape = {2, KV, dim, type, page_tokens, 2, N};
	size_t bytes = kvcache_storage(&shape, 200), row = dim * kv_element_bytes(type);
	char *storage = aligned_alloc(KVCACHE_ALIGN, bytes);
	float *k = malloc(4 * (size_t)N * KV * dim * sizeof(float)), *v = k + N * KV * dim;
	char *codes = aligned_alloc(64, ((size_t)2 * N * KV * row + 63) / 64 * 64);
	float scales[2 * N * KV], q[Q * 64], got[Q * 64], want[Q * 64];
	uint32_t tokens[N], seq, reused;
	struct decode one, paged;
	struct kvcache c;
	void *scratch;

	assert_non_null(storage);
	assert_non_null(k);
	assert_non_null(codes);
	for (size_t i = 0; i < 2 * (size_t)N * KV * dim; i++)
		k[i] = (float)random_below(1000) / 500 - 1;
	for (uint32_t i = 0; i < Q * 64; i++)
		q[i] = (float)random_below(1000) / 500 - 1;
	for (uint32_t i = 0; i < N; i++)
		tokens[i] = i;
	assert_int_equal(kvcache_init(&c, &shape, storage, bytes), 0);
	assert_int_equal(kvcache_open(&c, tokens, N, &seq, &reused), 0);
	decode_set_packed(&one, type, Q, KV, 1, N, dim);
	for (uint32_t h = 0; h < 2 * KV; h++) /* keys, then values */
		for (uint32_t t = 0; t < N; t++)
			kv_store_row(type, k + ((size_t)(h / KV * N + t) * KV + h % KV) * dim, dim,
				     codes + (h * N + t) * row, scales + h * N + t);
	one.kv.k = codes;
	one.kv.v = codes + KV * N * row;
	one.kv.k_scale = scales;
	one.kv.v_scale = scales + KV * N;
	one.q = q;
	one.out = want;
	scratch = aligned_alloc(DECODE_ALIGN, decode_scratch(&one));
	assert_non_null(scratch);
	/* As an engine does: some tokens at once, then one by one. */
	for (uint32_t n = 50, from = 0; from < N; from += n, n = 1) {
		assert_int_equal(kvcache_append(&c, seq, tokens + from, n), 0);
		assert_int_equal(kvcache_write(&c, seq, 1, from, n, k + (size_t)from * KV * dim,
					       v + (size_t)from * KV * dim, KV * dim, dim),
				 0);
		kvcache_commit(&c, seq);
		paged = one;
		one.kv_len = paged.kv_len = kvcache_length(&c, seq);
		paged.out = got;
		assert_int_equal(kvcache_view(&c, seq, 1, &paged.kv), 0);
		for (const struct kernel *r = kernels; r < kernels + kernels_count; r++) {
			if (r->kind != KERNEL_decode || !kernels_supported(r))
				continue;
			assert_int_equal(r->run.decode(&one, scratch, decode_scratch(&one)), 0);
			assert_int_equal(r->run.decode(&paged, scratch, decode_scratch(&one)), 0);
			if (memcmp(got, want, Q * dim * sizeof(float)) != 0)
				fail_msg("%s %s: %u tokens in pages of %u differ", isa_name(r->isa),
					 kv_type_name(type), one.kv_len, page_tokens);
		}
	}
	free(scratch);
	free(codes);
	free(k);
	free(storage);
}

static void decode_over_pages_differs(void **state)
{
	for (int type = 0; type < KV_TYPES; type++) {
		check_decode((enum kv_type)type, 16, 64);
		check_decode((enum kv_type)type, 32, 40);
		check_decode((enum kv_type)type, 7, 13);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_random_run_with_room_for_all_goes_wrong),
		cmocka_unit_test(a_random_run_in_little_room_goes_wrong),
		cmocka_unit_test(a_known_prompt_is_computed_again),
		cmocka_unit_test(what_was_not_committed_is_shared),
		cmocka_unit_test(a_fork_writes_into_its_parent),
		cmocka_unit_test(the_wrong_page_is_thrown_out),
		cmocka_unit_test(a_full_cache_is_not_refused),
		cmocka_unit_test(nonsense_is_accepted),
		cmocka_unit_test(decode_over_pages_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
