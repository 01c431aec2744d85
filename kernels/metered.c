/* SPDX-License-Identifier: Apache-2.0 */
/* metered.c: the counters of the table's rows, and short calls told to them in batches. */
#include <pthread.h>
#include <stdio.h>

#include "kernels/kernels.h"

/* The global metered_batches, and the global batches beside it: a call has no other place that is
 * its thread's alone and as near. */
__thread struct metered_batch metered_batches[METERED_KINDS]
	__attribute__((tls_model("initial-exec")));

/* What the calls of a batch come to. */
struct batch {
	struct perftop_hist ns;
	struct perftop_counter n_flops, n_bytes;
	uint32_t held;		     /* calls in it at first; 0: none is under way */
	uint64_t flops, bytes, last; /* of each */
};
static __thread struct batch batches[METERED_KINDS];

/* The global ends: a key whose destructor settles what a thread that ends has left. */
static struct {
	pthread_once_t once;
	pthread_key_t key;
	bool made;
} ends = {.once = PTHREAD_ONCE_INIT};

static void settle(enum metered_kind kind)
{
	const struct batch *b = &batches[kind];
	const uint64_t n = b->held - (metered_batches[kind].left & METERED_LEFT);

	if (n) {
		perftop_add_both(b->n_flops, n * b->flops, b->n_bytes, n * b->bytes);
		perftop_count_more(b->ns, n, b->last);
	}
	metered_batches[kind].left = 0;
	batches[kind].held = 0;
}

void metered_settle(void)
{
	settle(METERED_FORWARD);
	settle(METERED_UPDATE);
}

static void settle_last(void *unused)
{
	metered_settle();
}

/* What the parent has not told yet is the parent's. */
static void forget(void)
{
	for (int i = 0; i < METERED_KINDS; i++)
		metered_batches[i].left = batches[i].held = 0;
}

static void prepare(void)
{
	ends.made =
		!pthread_key_create(&ends.key, settle_last) && !pthread_atfork(NULL, NULL, forget);
}

/* From now on calls of that shape are counted here, until one is to be timed. */
static void begin(enum metered_kind kind, const struct metered *m, const struct lora *l,
		  uint32_t rows, uint64_t flops, uint64_t bytes)
{
	struct batch *b = &batches[kind];
	uint32_t left;

	pthread_once(&ends.once, prepare);
	if (!ends.made || !m->ns.slot || rows > METERED_ROWS || l->rank > LORA_MAX_RANK ||
	    metered_one_in(flops, bytes) == 1)
		return;
	left = perftop_count_left(m->ns, &b->last);
	b->ns = m->ns;
	b->n_flops = m->flops;
	b->n_bytes = m->bytes;
	b->flops = flops;
	b->bytes = bytes;
	b->held = left < METERED_LEFT ? left : METERED_LEFT;
	metered_batches[kind] =
		(struct metered_batch){metered_dims(l), metered_shape(m, l, rows) + b->held};
	pthread_setspecific(ends.key, b); /* any value: it makes settle_last run */
}

int metered_lora_each(const struct metered *m, const struct lora *l, const float *x, size_t x_row,
		      float *y, size_t y_row, uint32_t rows)
{
	int err = 0;

	for (; rows && !err; rows--, x += x_row, y += y_row)
		err = m->kernel->run.lora_forward(l, x, y);
	return err;
}

int metered_lora_forward_anew(const struct metered *m, const struct lora *l, const float *x,
			      size_t x_row, float *y, size_t y_row, uint32_t rows)
{
	const uint64_t flops = rows * lora_forward_flops(l), bytes = rows * lora_forward_bytes(l);
	int err;

	settle(METERED_FORWARD);
	{
		METERED(m, flops, bytes);
		err = metered_lora_each(m, l, x, x_row, y, y_row, rows);
	}
	begin(METERED_FORWARD, m, l, rows, flops, bytes);
	return err;
}

int metered_lora_update_anew(const struct metered *m, const struct lora *l, const float *x,
			     const float *grad_y, float weight, struct lora_gradient *g)
{
	int err;

	settle(METERED_UPDATE);
	{
		METERED(m, lora_update_flops(l), lora_update_bytes(l));
		err = m->kernel->run.lora_update(l, x, grad_y, weight, g);
	}
	begin(METERED_UPDATE, m, l, 1, lora_update_flops(l), lora_update_bytes(l));
	return err;
}

void metered_init(struct metered *m, const struct kernel *k)
{
	metered_init_as(m, k->name, k);
}

void metered_init_as(struct metered *m, const char *what, const struct kernel *k)
{
	const char *isa = isa_name(k->isa);
	char name[96];

	m->kernel = k;
	snprintf(name, sizeof(name), "kernel.%s.%s.ns", what, isa);
	m->ns = perftop_hist(name, "ns", "time of one call");
	snprintf(name, sizeof(name), "kernel.%s.%s.flops", what, isa);
	m->flops = perftop_counter(name, "flop", "useful floating-point operations");
	snprintf(name, sizeof(name), "kernel.%s.%s.bytes", what, isa);
	m->bytes = perftop_counter(name, "B", "bytes of operands and results, once each");
}
