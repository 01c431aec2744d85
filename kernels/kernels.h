/* SPDX-License-Identifier: Apache-2.0 */
/* kernels.h: the table of kernel variants, choosing from it, and calling with counters. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/attention/attention.h"
#include "kernels/attention/attention_backward.h"
#include "kernels/decode/decode.h"
#include "kernels/ewc/ewc.h"
#include "kernels/isa.h"
#include "kernels/lora/lora.h"
#include "kernels/patterns/distance.h"
#include "kernels/patterns/matrix.h"
#include "kernels/lora/lora_base.h"
#include "kernels/lora/lora_bf16.h"
#include "kernels/peak/peak.h"
#include "kernels/quant/quant.h"
#include "kernels/trajectory/trajectory.h"
#include "kernels/vector/matmul.h"
#include "kernels/vector/vector.h"
#include "probes/perftop.h"

enum kernel_kind {
	KERNEL_attention,
	KERNEL_backward,
	KERNEL_decode,
	KERNEL_lora_forward,
	KERNEL_lora_update,
	KERNEL_lora_forward_batch,
	KERNEL_lora_update_batch,
	KERNEL_lora_base_forward,
	KERNEL_lora_base_gradient,
	KERNEL_lora_base_merge,
	KERNEL_lora_base_coded,
	KERNEL_lora_bf16_forward,
	KERNEL_vector_add,
	KERNEL_vector_dot,
	KERNEL_vector_scale,
	KERNEL_vector_axpy,
	KERNEL_vector_gather,
	KERNEL_vector_matmul,
	KERNEL_quant_decode,
	KERNEL_quant_matvec,
	KERNEL_quant_expand,
	KERNEL_quant_matvec_i8,
	KERNEL_quantize,
	KERNEL_quantize_rows,
	KERNEL_exp2,
	KERNEL_peak,
	KERNEL_ewc_fisher,
	KERNEL_ewc_constrain,
	KERNEL_ewc_merge,
	KERNEL_distance,
	KERNEL_mean,
	KERNEL_matrix,
	KERNEL_read,
};

struct kernel {
	const char *name;
	enum kernel_kind kind; /* which member of run is set */
	enum isa isa;
	unsigned int features; /* of isa_features() that it needs */
	union {
		attention_fn *attention;
		attention_backward_fn *backward;
		decode_fn *decode;
		lora_forward_fn *lora_forward;
		lora_update_fn *lora_update;
		lora_forward_batch_fn *lora_forward_batch;
		lora_update_batch_fn *lora_update_batch;
		lora_base_forward_fn *lora_base_forward;
		lora_base_gradient_fn *lora_base_gradient;
		lora_base_merge_fn *lora_base_merge;
		lora_base_coded_fn *lora_base_coded;
		lora_bf16_forward_fn *lora_bf16_forward;
		vector_add_fn *vector_add;
		vector_dot_fn *vector_dot;
		vector_scale_fn *vector_scale;
		vector_axpy_fn *vector_axpy;
		vector_gather_fn *vector_gather;
		vector_matmul_fn *vector_matmul;
		quant_decode_fn *quant_decode;
		quant_matvec_fn *quant_matvec;
		quant_expand_fn *quant_expand;
		quant_matvec_i8_fn *quant_matvec_i8;
		quantize_fn *quantize;
		quantize_rows_fn *quantize_rows;
		exp2_fn *exp2;
		peak_fn *peak;
		ewc_fisher_fn *ewc_fisher;
		ewc_constrain_fn *ewc_constrain;
		ewc_merge_fn *ewc_merge;
		distance_fn *distance;
		mean_fn *mean;
		matrix_fn *matrix;
		read_fn *read;
	} run;
};

extern const struct kernel kernels[];
extern const uint32_t kernels_count;

/* Can this CPU run it? */
bool kernels_supported(const struct kernel *k);
/*
 * Exactly that row; NULL if there is none or this CPU cannot run it. Rows that differ only in the
 * features they need stand in the table with the most demanding one first.
 */
const struct kernel *kernels_find(const char *name, enum isa isa);
/* The best row of that name that is no better than isa and runs here; NULL for an unknown name. */
const struct kernel *kernels_select(const char *name, enum isa isa);
/* Scratch bytes, ATTENTION_ALIGN-aligned, that an attention row needs for a. */
size_t kernels_attention_scratch(const struct kernel *k, const struct attention *a);

/* A row with its counters: kernel.NAME.ISA.ns (histogram), .flops and .bytes (counters). */
struct metered {
	const struct kernel *kernel;
	struct perftop_hist ns;
	struct perftop_counter flops, bytes;
};

void metered_init(struct metered *m, const struct kernel *k);
/* Of something made of k's calls, under a name of its own. */
void metered_init_as(struct metered *m, const char *name, const struct kernel *k);

/*
 * Two readings of the clock take 30 ns, and what is in the L1 cache goes at 200 FLOPs and bytes a
 * ns: below so many of them the readings may be more than 1 % of a call. Then one in 61 is timed,
 * of what takes less than 330 ns one in 509, and all are counted.
 */
enum { METERED_LONG = 1 << 19, METERED_BRIEF = 1 << 16 };
enum { METERED_ONE_IN = 61, METERED_BRIEF_ONE_IN = 509 };

static inline uint32_t metered_one_in(uint64_t flops, uint64_t bytes)
{
	const uint64_t work = flops + bytes;

	return work >= METERED_LONG    ? 1
	       : work >= METERED_BRIEF ? METERED_ONE_IN
				       : METERED_BRIEF_ONE_IN;
}

/* From here to the end of the block is one call with that work. */
#define METERED(m, flops_, bytes_)                                             \
	const uint64_t work_flops = (flops_), work_bytes = (bytes_);           \
	PERFTOP_SCOPE_ONE_IN(metered_one_in(work_flops, work_bytes), (m)->ns); \
	perftop_add_both((m)->flops, work_flops, (m)->bytes, work_bytes)

static inline int metered_attention(const struct metered *m, const struct attention *a,
				    void *scratch, size_t scratch_bytes)
{
	METERED(m, attention_flops(a), attention_bytes(a));
	return m->kernel->run.attention(a, scratch, scratch_bytes);
}

static inline int metered_backward(const struct metered *m, const struct attention_backward *b,
				   void *scratch, size_t scratch_bytes)
{
	METERED(m, attention_backward_flops(b), attention_backward_bytes(b));
	return m->kernel->run.backward(b, scratch, scratch_bytes);
}

static inline int metered_decode(const struct metered *m, const struct decode *d, void *scratch,
				 size_t scratch_bytes)
{
	METERED(m, decode_flops(d), decode_bytes(d));
	return m->kernel->run.decode(d, scratch, scratch_bytes);
}

/*
 * Micro-LoRA takes some 15 ns, and each number that is kept 1 % of that. So a thread's calls of one
 * name and shape in a row are told to the counters together: when one of them is timed, when name
 * or shape change, when the thread ends, and at metered_settle(). Between these a batch of calls,
 * 170 us of them at the most, is not seen yet.
 *
 * What costs is loads, and more so those that wait for another's result. So forward passes and
 * updates have a batch each, whose address a call knows, and it is two words.
 */
enum { METERED_LEFT = 1023, METERED_ROWS = 15 /* at once, in a batch */ };
enum metered_kind { METERED_FORWARD, METERED_UPDATE, METERED_KINDS };
struct metered_batch {
	uint64_t dims; /* both, as one load has them */
	uint64_t left; /* in the lowest 10 bits calls before one is timed; above metered_shape() */
};
extern __thread struct metered_batch metered_batches[METERED_KINDS]
	__attribute__((tls_model("initial-exec")));

static inline uint64_t metered_dims(const struct lora *l)
{
	uint64_t dims;

	memcpy(&dims, &l->dim_in, sizeof(dims));
	return dims;
}

/*
 * The rest of what a batch's calls share: rows, the histogram and so the name, the rank. A rank
 * beyond 3 would be mistaken for another name; its call fails anyway.
 */
static inline uint64_t metered_shape(const struct metered *m, const struct lora *l, uint32_t rows)
{
	return ((uint64_t)rows << 24) + ((uint64_t)m->ns.slot << 12) + ((uint64_t)l->rank << 10);
}

/* One more call of the name and shape that the thread's last was of, and not to be timed. */
static inline bool metered_again(enum metered_kind kind, const struct metered *m,
				 const struct lora *l, uint32_t rows)
{
#ifdef PERFTOP_DISABLED
	return true;
#else
	struct metered_batch *b = &metered_batches[kind];
	const uint64_t left = b->left - 1;

	if (PERFTOP_UNLIKELY(metered_dims(l) != b->dims ||
			     left - metered_shape(m, l, rows) >= METERED_LEFT))
		return false;
	b->left = left;
	return true;
#endif
}

/* Tells this thread's counters what they have not seen yet. */
void metered_settle(void);

int metered_lora_forward_anew(const struct metered *m, const struct lora *l, const float *x,
			      size_t x_row, float *y, size_t y_row, uint32_t rows);
int metered_lora_update_anew(const struct metered *m, const struct lora *l, const float *x,
			     const float *grad_y, float weight, struct lora_gradient *g);
/* Not counted. */
int metered_lora_each(const struct metered *m, const struct lora *l, const float *x, size_t x_row,
		      float *y, size_t y_row, uint32_t rows);

/*
 * `rows` vectors, counted as one call. The loop over them is out of line: its registers would cost
 * a single one 3 ns.
 */
static inline int metered_lora_forward(const struct metered *m, const struct lora *l,
				       const float *x, size_t x_row, float *y, size_t y_row,
				       uint32_t rows)
{
	if (!metered_again(METERED_FORWARD, m, l, rows))
		return metered_lora_forward_anew(m, l, x, x_row, y, y_row, rows);
	if (rows != 1)
		return metered_lora_each(m, l, x, x_row, y, y_row, rows);
	return m->kernel->run.lora_forward(l, x, y);
}

static inline int metered_lora_update(const struct metered *m, const struct lora *l, const float *x,
				      const float *grad_y, float weight, struct lora_gradient *g)
{
	if (!metered_again(METERED_UPDATE, m, l, 1))
		return metered_lora_update_anew(m, l, x, grad_y, weight, g);
	return m->kernel->run.lora_update(l, x, grad_y, weight, g);
}

static inline int metered_lora_forward_batch(const struct metered *m, const struct lora *l,
					     const float *x, size_t x_row, float *y, size_t y_row,
					     uint32_t rows)
{
	METERED(m, rows * lora_forward_flops(l), rows * lora_forward_bytes(l));
	return m->kernel->run.lora_forward_batch(l, x, x_row, y, y_row, rows);
}

static inline int metered_lora_update_batch(const struct metered *m, const struct lora *l,
					    const float *x, size_t x_row, const float *grad_y,
					    size_t grad_row, const float *weight, uint32_t rows,
					    struct lora_gradient *g)
{
	METERED(m, rows * lora_update_flops(l), rows * lora_update_bytes(l));
	return m->kernel->run.lora_update_batch(l, x, x_row, grad_y, grad_row, weight, rows, g);
}

static inline int metered_lora_base_forward(const struct metered *m, const struct lora_base *l,
					    uint32_t layer, const float *x, size_t x_row, float *y,
					    size_t y_row, uint32_t rows)
{
	METERED(m, rows * lora_base_forward_flops(l), rows * lora_base_forward_bytes(l));
	return m->kernel->run.lora_base_forward(l, layer, x, x_row, y, y_row, rows);
}

static inline int metered_lora_base_gradient(const struct metered *m, const struct lora_base *l,
					     uint32_t layer, const struct lora_base_signal *s,
					     struct lora_base_gradient *g)
{
	METERED(m, s->rows * lora_base_gradient_flops(l), s->rows * lora_base_gradient_bytes(l));
	return m->kernel->run.lora_base_gradient(l, layer, s, g);
}

static inline int metered_vector_matmul(const struct metered *m, const struct vector_matmul *mm,
					void *scratch, size_t scratch_bytes)
{
	METERED(m, vector_matmul_flops(mm), vector_matmul_bytes(mm));
	return m->kernel->run.vector_matmul(mm, scratch, scratch_bytes);
}

static inline int metered_quant_matvec(const struct metered *m, const struct quant_matrix *q,
				       const float *x, float *y)
{
	METERED(m, quant_matvec_flops(q), quant_matvec_bytes(q));
	return m->kernel->run.quant_matvec(q, x, y);
}

#endif
