/* SPDX-License-Identifier: Apache-2.0 */
/* metered.c: the counters of the table's rows, and short calls told to them in batches. */
#include <pthread.h>
#include <stdio.h>

#include "kernels/kernels.h"

/* The global metered_batches, and the global batches beside it: a call has no other place that is
 * its thread's alone and as near. */
__thread uint64_t metered_batches[METERED_BATCHES] __attribute__((tls_model("initial-exec")));

/* What the calls of a batch come to. */
struct batch {
	struct perftop_hist ns;
	struct perftop_counter n_flops, n_bytes;
	uint32_t held;		     /* calls in it at first; 0: none is under way */
	uint64_t flops, bytes, last; /* of each */
};
static __thread struct batch batches[METERED_BATCHES];

/* The global owners: counters are the process's, and so is which batch is whose. */
static struct {
	uint32_t slots[METERED_BATCHES]; /* of the histogram; batch 0 is of those that come late */
	pthread_once_t once;
	pthread_key_t key; /* its destructor settles what a thread that ends has left */
	bool key_made;
} owners = {.once = PTHREAD_ONCE_INIT};

static void settle(uint32_t i)
{
	const struct batch *b = &batches[i];
	const uint64_t n = b->held - (uint32_t)(metered_batches[i] & METERED_LEFT);

	if (b->held && n) {
		perftop_add_both(b->n_flops, n * b->flops, b->n_bytes, n * b->bytes);
		perftop_count_more(b->ns, n, b->last);
	}
	metered_batches[i] = 0;
	batches[i].held = 0;
}

void metered_settle(void)
{
	for (uint32_t i = 1; i < METERED_BATCHES; i++)
		if (batches[i].held)
			settle(i);
}

static void settle_last(void *unused)
{
	metered_settle();
}

/* What the parent has not told yet is the parent's. */
static void forget(void)
{
	for (uint32_t i = 0; i < METERED_BATCHES; i++)
		metered_batches[i] = batches[i].held = 0;
}

static void prepare(void)
{
	owners.key_made = !pthread_key_create(&owners.key, settle_last) &&
			  !pthread_atfork(NULL, NULL, forget);
}

static uint32_t batch_of(uint32_t slot)
{
	pthread_once(&owners.once, prepare);
	if (!slot || !owners.key_made)
		return 0;
	for (uint32_t i = 1; i < METERED_BATCHES; i++) {
		uint32_t old = 0;

		if (__atomic_compare_exchange_n(&owners.slots[i], &old, slot, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED) ||
		    old == slot)
			return i;
	}
	return 0;
}

/* From now on calls of that shape are counted here, until one is to be timed. */
static void begin(const struct metered *m, const struct lora *l, uint32_t rows, uint64_t flops,
		  uint64_t bytes)
{
	struct batch *b = &batches[m->batch];
	uint32_t left;

	if (!m->batch || rows > METERED_ROWS || metered_one_in(flops, bytes) == 1)
		return;
	left = perftop_count_left(m->ns, &b->last);
	b->ns = m->ns;
	b->n_flops = m->flops;
	b->n_bytes = m->bytes;
	b->flops = flops;
	b->bytes = bytes;
	b->held = left < METERED_LEFT ? left : METERED_LEFT;
	metered_batches[m->batch] = metered_shape(l, rows) + b->held;
	pthread_setspecific(owners.key, b); /* any value: it makes settle_last run */
}

int metered_lora_forward_rows(const struct metered *m, const struct lora *l, const float *x,
			      size_t x_row, float *y, size_t y_row, uint32_t rows)
{
	const uint64_t flops = rows * lora_forward_flops(l), bytes = rows * lora_forward_bytes(l);
	int err;

	if (rows <= METERED_ROWS && metered_again(m, l, rows))
		return metered_lora_each(m, l, x, x_row, y, y_row, rows);
	settle(m->batch);
	{
		METERED(m, flops, bytes);
		err = metered_lora_each(m, l, x, x_row, y, y_row, rows);
	}
	begin(m, l, rows, flops, bytes);
	return err;
}

int metered_lora_forward_anew(const struct metered *m, const struct lora *l, const float *x,
			      float *y)
{
	return metered_lora_forward_rows(m, l, x, 0, y, 0, 1);
}

int metered_lora_update_anew(const struct metered *m, const struct lora *l, const float *x,
			     const float *grad_y, float weight, struct lora_gradient *g)
{
	int err;

	settle(m->batch);
	{
		METERED(m, lora_update_flops(l), lora_update_bytes(l));
		err = m->kernel->run.lora_update(l, x, grad_y, weight, g);
	}
	begin(m, l, 1, lora_update_flops(l), lora_update_bytes(l));
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
	m->batch = batch_of(m->ns.slot);
}
