/* SPDX-License-Identifier: Apache-2.0 */
/* attention_backward_loops.h: the backward pass over its product; after attention_backward_tiles.h.
 */

/* A block of queries of one head, and the block of keys under way. */
struct backward {
	const struct attention_backward *call;
	const struct attention *a;
	/* Panels along queries, [panel][dim][PANEL]: q * scale * log2(e), dout, dq. */
	float *qt, *dot, *dqt;
	/* Panels along dimensions, [panel][bq][PANEL]: q and dout. */
	float *qp, *dop;
	/* Panels along queries, [panel][BACKWARD_BLOCK_K][PANEL]: p, and dp that becomes ds. */
	float *p, *ds;
	float *sums;	   /* [TILE_ROWS][PANEL]: a product on its way into dk or dv */
	float *lse, *mean; /* [bq]: in base 2, and D */
	uint32_t bq, dim;  /* dim is padded */
	uint32_t h, g, i0, rows;
	uint32_t jb, n;
	uint32_t begun; /* keys whose dk and dv hold something */
};

static void backward_init(struct backward *t, const struct attention_backward *call, float *mem)
{
	size_t panel;

	t->call = call;
	t->a = call->forward;
	t->bq = backward_block_q(t->a);
	t->dim = (t->a->head_dim + BACKWARD_PAD - 1) / BACKWARD_PAD * BACKWARD_PAD;
	panel = (size_t)t->dim * t->bq;
	t->qt = mem;
	t->dot = t->qt + panel;
	t->dqt = t->dot + panel;
	t->qp = t->dqt + panel;
	t->dop = t->qp + panel;
	t->p = t->dop + panel;
	t->ds = t->p + (size_t)BACKWARD_BLOCK_K * t->bq;
	t->sums = t->ds + (size_t)BACKWARD_BLOCK_K * t->bq;
	t->lse = t->sums + BACKWARD_TILE * BACKWARD_PAD;
	t->mean = t->lse + t->bq;
}

/* VEC_LANES rows of x, of which the first `rows` are there, and as many dimensions, m of them. */
static void load_part(vec r[VEC_LANES], const float *x, size_t x_row, uint32_t rows, uint32_t m)
{
	for (uint32_t l = 0; l < VEC_LANES; l++)
		r[l] = m && l < rows ? vec_load_first(x + l * x_row, m) : vec_zero();
}

/* Rows of x packed into panels along dimensions, and transposed, times scale, along queries;
 * what is beyond the rows and the dimensions is zeros. */
static void load_block(const struct backward *t, const float *x, size_t x_row, float scale,
		       float *packed, float *transposed)
{
	const uint32_t dim = t->a->head_dim;
	const vec f = vec_splat(scale);
	vec r[VEC_LANES];

	for (uint32_t i = 0; i < t->bq; i += VEC_LANES, x += VEC_LANES * x_row) {
		const uint32_t rows = i < t->rows ? t->rows - i : 0;
		float *to = transposed + i / PANEL * (size_t)t->dim * PANEL + i % PANEL;

		for (uint32_t d = 0; d < t->dim; d += VEC_LANES) {
			uint32_t m = d >= dim ? 0 : dim - d < VEC_LANES ? dim - d : VEC_LANES;
			float *at = packed + d / PANEL * (size_t)t->bq * PANEL + d % PANEL;
			const bool whole = rows >= VEC_LANES && m == VEC_LANES;

			for (uint32_t l = 0; d % LINE == 0 && l < VEC_LANES; l++)
				__builtin_prefetch(x + (VEC_LANES + l) * x_row + d);
			if (!whole)
				load_part(r, x + d, x_row, rows, m);
#pragma GCC unroll 16
			for (uint32_t l = 0; l < VEC_LANES; l++)
				vec_store(at + (size_t)(i + l) * PANEL,
					  whole ? vec_loadu(x + d + l * x_row) : r[l]);
			if (whole) {
				vec_load_turned(r, x + d, x_row, f);
			} else {
				vec_transpose(r);
				for (uint32_t l = 0; l < VEC_LANES; l++)
					r[l] = vec_mul(r[l], f);
			}
#pragma GCC unroll 16
			for (uint32_t l = 0; l < VEC_LANES; l++)
				vec_store(to + (size_t)(d + l) * PANEL, r[l]);
		}
	}
}

/* dq back into rows. */
static void store_queries(const struct backward *t)
{
	const struct attention *a = t->a;
	float *dq = t->call->dq + t->h * a->q_head + t->i0 * a->q_row;
	vec r[VEC_LANES];

	for (uint32_t i = 0; i < t->rows; i += VEC_LANES) {
		const float *from = t->dqt + i / PANEL * (size_t)t->dim * PANEL + i % PANEL;

		for (uint32_t d = 0; d < a->head_dim; d += VEC_LANES) {
			uint32_t m = a->head_dim - d < VEC_LANES ? a->head_dim - d : VEC_LANES;

			for (uint32_t l = 0; l < VEC_LANES; l++)
				r[l] = vec_load(from + (size_t)(d + l) * PANEL);
			vec_transpose(r);
			for (uint32_t l = 0; l < VEC_LANES && i + l < t->rows; l++)
				vec_store_first(dq + (i + l) * a->q_row + d, r[l], m);
		}
	}
}

static float row_dot(const float *x, const float *y, uint32_t n)
{
	vec s = vec_zero();

	for (uint32_t d = 0; d < n; d += VEC_LANES) {
		uint32_t m = n - d < VEC_LANES ? n - d : VEC_LANES;

		s = vec_fma(vec_load_first(x + d, m), vec_load_first(y + d, m), s);
	}
	return vec_sum(s);
}

/* A row that is not there, or saw nothing, has weights of 2^-inf. */
static void block_start(struct backward *t, uint32_t i0)
{
	const struct attention *a = t->a;
	const size_t at = t->h * a->o_head + i0 * a->o_row;

	t->i0 = i0;
	t->rows = a->q_len - i0 < t->bq ? a->q_len - i0 : t->bq;
	load_block(t, a->q + t->h * a->q_head + i0 * a->q_row, a->q_row, (float)(a->scale * LOG2E),
		   t->qp, t->qt);
	load_block(t, t->call->dout + at, a->o_row, 1, t->dop, t->dot);
	memset(t->dqt, 0, (size_t)t->dim * t->bq * sizeof(float));
	for (uint32_t i = 0; i < t->bq; i++) {
		float lse = i < t->rows ? a->lse[(size_t)t->h * a->q_len + i0 + i] : INFINITY;

		t->lse[i] = lse == -INFINITY ? INFINITY : (float)(lse * LOG2E);
		t->mean[i] = i < t->rows ? row_dot(t->call->dout + at + i * a->o_row,
						   a->out + at + i * a->o_row, a->head_dim)
					 : 0;
	}
}

/* Keys of this block that some query of panel c sees, in whole tiles; counted from jb. */
static void panel_keys(const struct backward *t, uint32_t c, uint32_t *from, uint32_t *to)
{
	uint32_t i = t->i0 + c * PANEL, last = i + PANEL - 1, first, end, unused;

	*from = *to = 0;
	if (c * PANEL >= t->rows)
		return;
	attention_visible(t->a, i, &first, &unused);
	attention_visible(t->a, last < t->a->q_len ? last : t->a->q_len - 1, &unused, &end);
	if (end <= t->jb || first >= t->jb + t->n || first >= end)
		return;
	first = first < t->jb ? 0 : first - t->jb;
	end = end - t->jb < t->n ? end - t->jb : t->n;
	*from = first / TILE_ROWS * TILE_ROWS;
	*to = (end + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
	*to = *to < t->n ? *to : t->n;
}

static uint32_t within_lanes(int64_t n)
{
	return n < 0 ? 0 : n < VEC_LANES ? (uint32_t)n : VEC_LANES;
}

/*
 * Scores to weights, and dp to ds, for keys from..to - 1 and the vector of queries at i; `past` is
 * how far key jb lies past the position of the first of them. NaN in what it returns: masks were
 * looked at, and some score or dp is not finite.
 */
TILE vec weigh_run(const bool masked, const struct backward *t, uint32_t i, uint32_t from,
		   uint32_t to, int64_t past)
{
	const struct attention *a = t->a;
	const size_t at = (size_t)(i / PANEL) * BACKWARD_BLOCK_K * PANEL + i % PANEL;
	const vec lse = vec_load(t->lse + i), mean = vec_load(t->mean + i);
	const vec scale = vec_splat(a->scale), zero = vec_zero();
	const uint32_t window = a->window ? a->window : UINT32_MAX;
	const bool causal = a->causal;
	float *p = t->p + at + (size_t)from * PANEL, *ds = t->ds + at + (size_t)from * PANEL;
	vec spoiled = zero;

	for (uint32_t j = from; j < to; j++, p += PANEL, ds += PANEL) {
		const vec s = vec_load(p), dp = vec_load(ds);
		vec w = vec_exp2(vec_sub(s, lse));
		vec g = vec_mul(vec_mul(w, scale), vec_sub(dp, mean));

		if (masked) {
			const int64_t hidden = causal ? past + j : 0, kept = past + j + window;
			vec m = vec_keep_from(zero, within_lanes(hidden));

			m = vec_keep_first(m, within_lanes(kept));
			w = vec_select_less(m, zero, zero, w);
			g = vec_select_less(m, zero, zero, g);
			spoiled = vec_fma(vec_add(s, dp), zero, spoiled);
		}
		vec_store(p, w);
		vec_store(ds, g);
	}
	return spoiled;
}

/* Keys that no mask hides from any of the vector lie between those that it may. */
static vec weigh(const struct backward *t, uint32_t i, uint32_t from, uint32_t to)
{
	const struct attention *a = t->a;
	const int64_t past = (int64_t)t->jb - ((int64_t)t->i0 + i + a->kv_len - a->q_len);
	const int64_t clear = a->window ? VEC_LANES - (int64_t)a->window - past : from;
	const int64_t hidden = a->causal ? 1 - past : to;
	const uint32_t first = clear < from ? from : clear < to ? (uint32_t)clear : to;
	const uint32_t end = hidden < first ? first : hidden < to ? (uint32_t)hidden : to;
	vec spoiled = weigh_run(true, t, i, from, first, past);

	weigh_run(false, t, i, first, end, past);
	return vec_add(spoiled, weigh_run(true, t, i, end, to, past));
}

/* x += f y, n floats. */
static void add_row(float *x, float f, const float *y, uint32_t n)
{
	for (uint32_t d = 0; d < n; d += VEC_LANES) {
		const uint32_t m = n - d < VEC_LANES ? n - d : VEC_LANES;

		vec_store_first(x + d,
				vec_fma(vec_splat(f), vec_load_first(y + d, m),
					vec_load_first(x + d, m)),
				m);
	}
}

/*
 * What a panel of queries adds to dq, or to dk and dv, pair by pair. The products weigh what a mask
 * hides by 0, which is nothing unless a row is infinite or NaN: here it is left out.
 */
static void add_pairs(const struct backward *t, uint32_t c, bool to_keys)
{
	const struct attention *a = t->a;
	const uint32_t dim = a->head_dim;

	for (uint32_t l = 0; l < PANEL && c * PANEL + l < t->rows; l++) {
		const uint32_t i = t->i0 + c * PANEL + l;
		const float *q = a->q + t->h * a->q_head + i * a->q_row;
		const float *dout = t->call->dout + t->h * a->o_head + i * a->o_row;
		float *dq = t->dqt + (size_t)c * t->dim * PANEL + l;
		uint32_t first, end;

		attention_visible(a, i, &first, &end);
		for (uint32_t n = 0; n < t->n; n++) {
			const size_t at = ((size_t)c * BACKWARD_BLOCK_K + n) * PANEL + l;
			const uint32_t j = t->jb + n;
			const float *k = a->k + t->g * a->k_head + j * a->k_row;

			if (j < first || j >= end)
				continue;
			for (uint32_t d = 0; d < dim && !to_keys; d++)
				dq[(size_t)d * PANEL] += t->ds[at] * k[d];
			if (!to_keys)
				continue;
			add_row(t->call->dk + t->g * a->k_head + j * a->k_row, t->ds[at], q, dim);
			add_row(t->call->dv + t->g * a->v_head + j * a->v_row, t->p[at], dout, dim);
		}
	}
}

/* p, ds and the share of dq of one panel of queries. False: dk and dv are to be had by pairs. */
static bool panel_scores(const struct backward *t, uint32_t c, uint32_t from, uint32_t to)
{
	const struct attention *a = t->a;
	const size_t at = ((size_t)c * BACKWARD_BLOCK_K + from) * PANEL;
	const float *k = a->k + t->g * a->k_head + (t->jb + from) * a->k_row;
	struct product s = {
		.a = k,
		.a_row = a->k_row,
		.a_step = 1,
		.b = t->qt + (size_t)c * t->dim * PANEL,
		.outer = 1,
		.inner = a->head_dim,
		.c = t->p + at,
		.c_row = PANEL,
	};
	float spoiled;

	product_rows(&s, to - from);
	s.a = a->v + t->g * a->v_head + (t->jb + from) * a->v_row;
	s.a_row = a->v_row;
	s.b = t->dot + (size_t)c * t->dim * PANEL;
	s.c = t->ds + at;
	product_rows(&s, to - from);
	spoiled = vec_sum(
		vec_add(weigh(t, c * PANEL, from, to), weigh(t, c * PANEL + VEC_LANES, from, to)));
	if (spoiled != spoiled) {
		add_pairs(t, c, false);
		return false;
	}
	s = (struct product){
		.a = k,
		.a_row = 1,
		.a_step = a->k_row,
		.b = t->ds + at,
		.outer = 1,
		.inner = to - from,
		.c = t->dqt + (size_t)c * t->dim * PANEL,
		.c_row = PANEL,
		.add = true,
	};
	product_rows(&s, a->head_dim);
	return true;
}

/* Panels first..last - 1 of queries that computed a tile of keys: one run of them. */
struct seen {
	uint32_t first, last;
};

/* x += y, n floats, fewer than a panel's. */
static void add_first(float *x, const float *y, uint32_t n)
{
	for (uint32_t d = 0; d < n; d += VEC_LANES) {
		uint32_t m = n - d < VEC_LANES ? n - d : VEC_LANES;

		vec_store_first(x + d, vec_add(vec_load_first(x + d, m), vec_load(y + d)), m);
	}
}

/*
 * x (dk or dv) += weights^T rows: weights p or ds, rows in panels. In place, but for a last panel
 * that is wider than what is left of the dimensions.
 */
static void add_to_keys(const struct backward *t, const float *weights, const float *rows,
			const struct seen *seen, float *x, size_t x_row)
{
	const uint32_t dim = t->a->head_dim;

	for (uint32_t d = 0; d < dim; d += PANEL) {
		const bool whole = d + PANEL <= dim;

		for (uint32_t j = 0; j < t->n; j += TILE_ROWS) {
			const struct seen *s = &seen[j / TILE_ROWS];
			const uint32_t keys = t->n - j < TILE_ROWS ? t->n - j : TILE_ROWS;
			struct product p = {
				.a = weights + ((size_t)s->first * BACKWARD_BLOCK_K + j) * PANEL,
				.a_row = PANEL,
				.a_step = 1,
				.a_outer = (size_t)BACKWARD_BLOCK_K * PANEL,
				.b = rows + ((size_t)d * t->bq + (size_t)s->first * PANEL * PANEL),
				.b_outer = (size_t)PANEL * PANEL,
				.outer = s->last - s->first,
				.inner = PANEL,
				.c = whole ? x + j * x_row + d : t->sums,
				.c_row = whole ? x_row : PANEL,
				.add = whole,
			};

			if (!p.outer)
				continue;
			product_rows(&p, keys);
			for (uint32_t r = 0; r < keys && !whole; r++)
				add_first(x + (j + r) * x_row + d, t->sums + (size_t)r * PANEL,
					  dim - d);
		}
	}
}

static void block_keys(struct backward *t)
{
	const struct attention *a = t->a;
	const uint32_t panels = (t->rows + PANEL - 1) / PANEL;
	struct seen seen[BACKWARD_BLOCK_K / TILE_ROWS] = {{0, 0}};
	bool any = false, whole = true;

	for (uint32_t c = 0; c < panels; c++) {
		uint32_t from, to;

		panel_keys(t, c, &from, &to);
		if (from == to)
			continue;
		whole &= panel_scores(t, c, from, to);
		for (uint32_t j = from / TILE_ROWS; j * TILE_ROWS < to; j++) {
			if (!seen[j].last)
				seen[j].first = c;
			seen[j].last = c + 1;
		}
		any = true;
	}
	for (uint32_t c = 0; c < panels && !whole; c++)
		add_pairs(t, c, true);
	if (!any || !whole)
		return;
	add_to_keys(t, t->p, t->dop, seen, t->call->dv + t->g * a->v_head + t->jb * a->v_row,
		    a->v_row);
	add_to_keys(t, t->ds, t->qp, seen, t->call->dk + t->g * a->k_head + t->jb * a->k_row,
		    a->k_row);
}

/* Zeros to add to, for keys before end: no earlier than they are needed, so that they are near. */
static void begin_keys(struct backward *t, uint32_t end)
{
	const struct attention *a = t->a;
	const size_t bytes = a->head_dim * sizeof(float);

	for (; t->begun < end; t->begun++) {
		memset(t->call->dk + t->g * a->k_head + t->begun * a->k_row, 0, bytes);
		memset(t->call->dv + t->g * a->v_head + t->begun * a->v_row, 0, bytes);
	}
}

static void head_backward(struct backward *t)
{
	const struct attention *a = t->a;

	for (uint32_t i = 0; i < a->q_len; i += t->bq) {
		uint32_t first, end, unused;

		block_start(t, i);
		attention_visible(a, i, &first, &unused);
		attention_visible(a, i + t->rows - 1, &unused, &end);
		for (t->jb = first; t->jb < end; t->jb += BACKWARD_BLOCK_K) {
			t->n = end - t->jb < BACKWARD_BLOCK_K ? end - t->jb : BACKWARD_BLOCK_K;
			begin_keys(t, t->jb + t->n);
			block_keys(t);
		}
		store_queries(t);
	}
}

/* Every workers-th KV head from w on: heads that share keys add to the same gradients. */
static void backward_work(const struct attention_backward *b, char *scratch, uint32_t w,
			  uint32_t workers)
{
	const struct attention *a = b->forward;
	const uint32_t shared = a->heads / a->kv_heads;
	struct backward t;

	backward_init(&t, b, (void *)(scratch + w * backward_block_bytes(a)));
	for (t.g = w; t.g < a->kv_heads; t.g += workers) {
		t.begun = 0;
		for (t.h = t.g * shared; t.h < (t.g + 1) * shared; t.h++)
			head_backward(&t);
		begin_keys(&t, a->kv_len);
	}
}

static int backward(const struct attention_backward *b, void *scratch, size_t scratch_bytes)
{
	uint32_t workers;
	int err = attention_backward_check(b);

	if (err)
		return err;
	if (!scratch || (uintptr_t)scratch % ATTENTION_ALIGN ||
	    scratch_bytes < attention_backward_scratch(b))
		return -EINVAL;
	workers = b->threads > 1 ? b->threads : 1;
#pragma omp parallel for num_threads(workers) schedule(static, 1) if (workers > 1)
	for (uint32_t w = 0; w < workers; w++)
		backward_work(b, scratch, w, workers);
	return 0;
}
