/* SPDX-License-Identifier: Apache-2.0 */
/* kvcache.c: sequences over the pages: open, fork, append, write, commit, close. */
#include "kernels/kvcache/kvcache.h"
#include "kernels/kvcache/kvcache_pages.h"

#include <errno.h>
#include <string.h>

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static size_t shape_head_bytes(const struct kvcache_shape *s)
{
	size_t rows = 2 * (size_t)s->page_tokens * s->head_dim * kv_element_bytes(s->type);
	size_t scales = s->type == KV_I8 ? 2 * s->page_tokens * sizeof(float) : 0;

	return round_up(round_up(rows, sizeof(float)) + scales, KVCACHE_ALIGN);
}

static bool shape_ok(const struct kvcache_shape *s)
{
	return s && s->layers && s->layers <= 1024 && s->kv_heads && s->kv_heads <= 1024 &&
	       s->head_dim && s->head_dim <= 4096 && kv_element_bytes(s->type) && s->page_tokens &&
	       s->page_tokens <= KVCACHE_MAX_PAGE_TOKENS && s->max_sequences &&
	       s->max_sequences <= 1 << 20 && s->max_tokens && s->max_tokens <= INT32_MAX / 2;
}

/* At least one bucket a page, so that a chain is short. */
static uint32_t buckets_for(uint32_t pages)
{
	uint32_t n = 1;

	while (n < pages)
		n *= 2;
	return n;
}

/* Where each array begins, for `pages` pages; the last is where all ends. */
enum part { PART_ROWS, PART_PAGES, PART_TOKENS, PART_INDEX, PART_SEQUENCES, PART_TABLES, PARTS };

static void layout(const struct kvcache_shape *s, uint32_t pages, size_t at[PARTS + 1])
{
	const size_t size[PARTS] = {
		[PART_ROWS] = shape_head_bytes(s) * s->kv_heads * s->layers * pages,
		[PART_PAGES] = sizeof(struct kvcache_page) * pages,
		[PART_TOKENS] = sizeof(uint32_t) * s->page_tokens * pages,
		[PART_INDEX] = sizeof(uint32_t) * buckets_for(pages),
		[PART_SEQUENCES] = sizeof(struct kvcache_sequence) * s->max_sequences,
		[PART_TABLES] = sizeof(uint32_t) * s->max_sequences *
				((s->max_tokens + s->page_tokens - 1) / s->page_tokens),
	};

	at[0] = 0;
	for (int i = 0; i < PARTS; i++)
		at[i + 1] = at[i] + round_up(size[i], KVCACHE_ALIGN);
}

size_t kvcache_storage(const struct kvcache_shape *shape, uint32_t pages)
{
	size_t at[PARTS + 1];

	if (!shape_ok(shape) || !pages || pages > INT32_MAX)
		return 0;
	if (shape_head_bytes(shape) * shape->kv_heads * shape->layers > SIZE_MAX / 4 / pages)
		return 0;
	layout(shape, pages, at);
	return at[PARTS];
}

static uint32_t pages_that_fit(const struct kvcache_shape *s, size_t bytes)
{
	uint32_t least = 0, most = INT32_MAX;

	while (least < most) {
		uint32_t n = least + (most - least + 1) / 2;
		size_t need = kvcache_storage(s, n);

		if (need && need <= bytes)
			least = n;
		else
			most = n - 1;
	}
	return least;
}

int kvcache_init(struct kvcache *c, const struct kvcache_shape *shape, void *storage, size_t bytes)
{
	size_t at[PARTS + 1];
	char *mem = storage;
	uint32_t pages;

	if (!c || !shape_ok(shape) || !storage || (uintptr_t)storage % KVCACHE_ALIGN)
		return -EINVAL;
	pages = pages_that_fit(shape, bytes);
	if (!pages)
		return -ENOSPC;
	layout(shape, pages, at);
	memset(mem + at[PART_PAGES], 0, at[PARTS] - at[PART_PAGES]);
	*c = (struct kvcache){
		.shape = *shape,
		.head_bytes = shape_head_bytes(shape),
		.page_bytes = shape_head_bytes(shape) * shape->kv_heads * shape->layers,
		.table_pages = (shape->max_tokens + shape->page_tokens - 1) / shape->page_tokens,
		.buckets = buckets_for(pages),
		.rows = mem,
		.page = (void *)(mem + at[PART_PAGES]),
		.tokens = (void *)(mem + at[PART_TOKENS]),
		.index = (void *)(mem + at[PART_INDEX]),
		.sequence = (void *)(mem + at[PART_SEQUENCES]),
		.tables = (void *)(mem + at[PART_TABLES]),
		.oldest = KVCACHE_NONE,
		.newest = KVCACHE_NONE,
		.stats = {.pages = pages, .free = pages},
	};
	memset(c->index, 0xff, c->buckets * sizeof(*c->index));
	for (uint32_t i = 0; i < pages; i++)
		c->page[i].newer = i + 1 < pages ? i + 1 : KVCACHE_NONE;
	return 0;
}

static struct kvcache_sequence *sequence_at(const struct kvcache *c, uint32_t sequence)
{
	if (!c || sequence >= c->shape.max_sequences || !c->sequence[sequence].open)
		return NULL;
	return &c->sequence[sequence];
}

static uint32_t *table_of(const struct kvcache *c, uint32_t sequence)
{
	return c->tables + (size_t)sequence * c->table_pages;
}

static uint32_t pages_of(const struct kvcache *c, uint32_t tokens)
{
	return (tokens + c->shape.page_tokens - 1) / c->shape.page_tokens;
}

static int sequence_new(struct kvcache *c, uint32_t *sequence)
{
	for (uint32_t i = 0; i < c->shape.max_sequences; i++) {
		if (c->sequence[i].open)
			continue;
		c->sequence[i] = (struct kvcache_sequence){.open = true};
		*sequence = i;
		return 0;
	}
	return -ENOSPC;
}

int kvcache_open(struct kvcache *c, const uint32_t *tokens, uint32_t n, uint32_t *sequence,
		 uint32_t *reused)
{
	uint64_t parent = 0;
	uint32_t pages = 0, *table;
	int err;

	if (!c || (n && !tokens) || !sequence || !reused)
		return -EINVAL;
	if (n > c->shape.max_tokens)
		return -ERANGE;
	err = sequence_new(c, sequence);
	if (err)
		return err;
	table = table_of(c, *sequence);
	for (; (pages + 1) * (uint64_t)c->shape.page_tokens < n; pages++) {
		uint32_t page = kvcache_page_find(c, parent, tokens + pages * c->shape.page_tokens);

		if (page == KVCACHE_NONE)
			break;
		kvcache_page_hold(c, page);
		table[pages] = page;
		parent = c->page[page].id;
	}
	*reused = pages * c->shape.page_tokens;
	c->sequence[*sequence].length = c->sequence[*sequence].committed = *reused;
	c->stats.prompt_tokens += n;
	c->stats.hit_tokens += *reused;
	return 0;
}

int kvcache_fork(struct kvcache *c, uint32_t sequence, uint32_t *fork)
{
	const struct kvcache_sequence *s = sequence_at(c, sequence);
	uint32_t pages;
	int err;

	if (!s || !fork || s->committed != s->length)
		return -EINVAL;
	err = sequence_new(c, fork);
	if (err)
		return err;
	c->sequence[*fork] = *s;
	pages = pages_of(c, s->length);
	memcpy(table_of(c, *fork), table_of(c, sequence), pages * sizeof(uint32_t));
	for (uint32_t i = 0; i < pages; i++)
		kvcache_page_hold(c, table_of(c, *fork)[i]);
	return 0;
}

/* From the end: so that of what stays cached the beginning, useful to more prompts, is younger. */
int kvcache_close(struct kvcache *c, uint32_t sequence)
{
	struct kvcache_sequence *s = sequence_at(c, sequence);

	if (!s)
		return -EINVAL;
	for (uint32_t i = pages_of(c, s->length); i-- > 0;)
		kvcache_page_drop(c, table_of(c, sequence)[i]);
	s->open = false;
	return 0;
}

/* A page of its own with the same contents, in place of one that others read too. */
static void page_copy(struct kvcache *c, uint32_t *entry)
{
	uint32_t page = kvcache_page_take(c);

	memcpy(c->rows + page * c->page_bytes, c->rows + *entry * c->page_bytes, c->page_bytes);
	memcpy(kvcache_page_tokens(c, page), kvcache_page_tokens(c, *entry),
	       c->shape.page_tokens * sizeof(uint32_t));
	kvcache_page_drop(c, *entry);
	*entry = page;
	c->stats.copied++;
}

int kvcache_append(struct kvcache *c, uint32_t sequence, const uint32_t *tokens, uint32_t n)
{
	struct kvcache_sequence *s = sequence_at(c, sequence);
	uint32_t have, need, *table;
	bool copy;

	if (!s || (n && !tokens))
		return -EINVAL;
	if (n > c->shape.max_tokens - s->length)
		return -ERANGE;
	table = table_of(c, sequence);
	have = pages_of(c, s->length);
	need = pages_of(c, s->length + n) - have;
	copy = n && s->length % c->shape.page_tokens && c->page[table[have - 1]].refs > 1;
	if (need + copy > c->stats.free + c->stats.cached)
		return -ENOSPC;
	if (copy)
		page_copy(c, &table[have - 1]);
	for (uint32_t i = 0; i < need; i++)
		table[have + i] = kvcache_page_take(c);
	for (uint32_t i = 0; i < n; i++, s->length++)
		kvcache_page_tokens(
			c,
			table[s->length / c->shape.page_tokens])[s->length % c->shape.page_tokens] =
			tokens[i];
	return 0;
}

/* The view with the pages writable: what one layer's rows are reached by. */
static struct kv_view layer_view(const struct kvcache *c, uint32_t sequence, uint32_t layer)
{
	const struct kvcache_shape *s = &c->shape;
	size_t row = s->head_dim * kv_element_bytes(s->type), rows = s->page_tokens * row;
	char *k = c->rows + layer * s->kv_heads * c->head_bytes;
	char *scales = k + round_up(2 * rows, sizeof(float));

	return (struct kv_view){
		.type = s->type,
		.k = k,
		.v = k + rows,
		.k_scale = s->type == KV_I8 ? (const void *)scales : NULL,
		.v_scale = s->type == KV_I8
				   ? (const void *)(scales + s->page_tokens * sizeof(float))
				   : NULL,
		.head_bytes = c->head_bytes,
		.row_bytes = row,
		.scale_head_bytes = c->head_bytes,
		.pages = table_of(c, sequence),
		.page_tokens = s->page_tokens,
		.page_bytes = c->page_bytes,
	};
}

int kvcache_write(struct kvcache *c, uint32_t sequence, uint32_t layer, uint32_t from, uint32_t n,
		  const float *k, const float *v, size_t row, size_t head)
{
	const struct kvcache_sequence *s = sequence_at(c, sequence);
	struct kv_view view;

	if (!s || layer >= c->shape.layers || (n && (!k || !v)) || from < s->committed ||
	    from > s->length || n > s->length - from)
		return -EINVAL;
	view = layer_view(c, sequence, layer);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t t = from + i, at = t % view.page_tokens;
		size_t page = view.pages[t / view.page_tokens] * view.page_bytes;

		for (uint32_t h = 0; h < c->shape.kv_heads; h++) {
			size_t place = page + h * view.head_bytes;
			char *base = (char *)view.k + place, *scales = NULL;

			if (view.type == KV_I8)
				scales = (char *)view.k_scale + place + at * sizeof(float);
			kv_store_row(view.type, k + i * row + h * head, c->shape.head_dim,
				     base + at * view.row_bytes, (void *)scales);
			if (view.type == KV_I8)
				scales += view.page_tokens * sizeof(float);
			kv_store_row(view.type, v + i * row + h * head, c->shape.head_dim,
				     base + (view.page_tokens + at) * view.row_bytes,
				     (void *)scales);
		}
	}
	return 0;
}

int kvcache_commit(struct kvcache *c, uint32_t sequence)
{
	struct kvcache_sequence *s = sequence_at(c, sequence);
	uint32_t *table, from, to;

	if (!s)
		return -EINVAL;
	table = table_of(c, sequence);
	from = s->committed / c->shape.page_tokens;
	to = s->length / c->shape.page_tokens;
	for (uint32_t i = from; i < to; i++)
		table[i] = kvcache_page_seal(c, table[i], i ? c->page[table[i - 1]].id : 0);
	s->committed = s->length;
	return 0;
}

uint32_t kvcache_length(const struct kvcache *c, uint32_t sequence)
{
	const struct kvcache_sequence *s = sequence_at(c, sequence);

	return s ? s->length : 0;
}

int kvcache_view(const struct kvcache *c, uint32_t sequence, uint32_t layer, struct kv_view *view)
{
	if (!sequence_at(c, sequence) || layer >= c->shape.layers || !view)
		return -EINVAL;
	*view = layer_view(c, sequence, layer);
	return 0;
}
