/* SPDX-License-Identifier: Apache-2.0 */
/* qe_adaptation.c: pattern adaptation: one signal into micro-LoRA, and into the whole matrix. */
#include "kernels/benchmark/qe.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "kernels/kernels.h"

enum { DIM = 256, CALLS = 8 };

struct adaptation {
	const struct kernel *update, *axpy;
	struct lora lora;
	struct lora_gradient gradient;
	float *x, *grad_y, *whole; /* [DIM][DIM] */
};

static int into_lora(void *arg)
{
	struct adaptation *a = arg;
	int err = 0;

	for (int i = 0; i < CALLS && !err; i++)
		err = a->update->run.lora_update(&a->lora, a->x, a->grad_y, 1e-6f, &a->gradient);
	return err;
}

/* gW += weight * grad_y x^T, a row at a time. */
static int into_all(void *arg)
{
	struct adaptation *a = arg;
	int err = 0;

	for (int i = 0; i < CALLS; i++)
		for (size_t r = 0; r < DIM && !err; r++)
			err = a->axpy->run.vector_axpy(1e-6f * a->grad_y[r], a->x,
						       a->whole + r * DIM, DIM);
	return err;
}

static int add_target(struct benchmark *b, const char *name, const char *target, double limit,
		      const double *ns)
{
	char reason[96];

	snprintf(reason, sizeof(reason),
		 "%.0f ns against %.1f us, both with the same instruction set", ns[0], ns[1] / 1e3);
	return benchmark_target(b, &(struct benchmark_target){
					   .name = name,
					   .seed = QE_SEED,
					   .target = target,
					   .limit = limit,
					   .at_least = true,
					   .measured = ns[1] / ns[0],
					   .unit = "x",
					   .baseline = "full-rank update",
					   .reason = reason,
				   });
}

int qe_adaptation(struct benchmark *b)
{
	struct adaptation a = {
		.update = kernels_select("micro_lora_update", benchmark_isa(b)),
		.axpy = kernels_select("vector_axpy", benchmark_isa(b)),
		.lora = {.dim_in = DIM, .dim_out = DIM, .rank = 1, .scale = 1},
	};
	const struct benchmark_param d = {"D", NULL, DIM};
	double ns[2];
	int err;

	a.lora.a = benchmark_floats(b, DIM);
	a.lora.b = benchmark_floats(b, DIM);
	a.gradient.a = benchmark_alloc(b, DIM * sizeof(float));
	a.gradient.b = benchmark_alloc(b, DIM * sizeof(float));
	a.x = benchmark_floats(b, DIM);
	a.grad_y = benchmark_floats(b, DIM);
	a.whole = benchmark_floats(b, DIM * DIM);
	if (!a.lora.a || !a.lora.b || !a.gradient.a || !a.gradient.b || !a.x || !a.grad_y ||
	    !a.whole)
		return -ENOMEM;
	{
		const struct benchmark_case cases[] = {
			{.name = "micro_lora_update r=1",
			 .isa = a.update->isa,
			 .run = into_lora,
			 .arg = &a,
			 .ops = CALLS,
			 .flops = CALLS * (double)lora_update_flops(&a.lora)},
			{.name = "full-rank update",
			 .isa = a.axpy->isa,
			 .run = into_all,
			 .arg = &a,
			 .ops = CALLS,
			 .flops = 2.0 * CALLS * DIM * DIM,
			 .baseline = "full rank"},
		};

		err = benchmark_contest(b, "pattern-adaptation, a signal", &d, 1, cases, 2, ns);
	}
	benchmark_release(b);
	err = err ? err : add_target(b, "pattern-adaptation, micro-LoRA", "10x-40x", 10, ns);
	return err ? err : add_target(b, "pattern-adaptation, recommended", "40x", 40, ns);
}
