/* SPDX-License-Identifier: Apache-2.0 */
/* suite_ewc.c: EWC++: Fisher updates and constraints, beside copying and merely reading memory. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/benchmark/benchmark.h"
#include "kernels/ewc/ewc_tasks.h"
#include "kernels/kernels.h"

#define SONA "SONA performance benchmarks, EWC++"
#define GOAL "goal of this engine, at 95-123 GB/s of L3"

enum { TASKS = 5 };

/* Too small a step to change what is measured: values must stay finite over many rounds. */
#define WEIGHT 1e-9f

struct ewc_work {
	const struct kernel *fisher, *constrain, *read;
	size_t n;
	float *square, *mean, *gradient, *theta;
	struct ewc_task task[TASKS], sum;
	char *copy_from, *copy_to;
	size_t copy_bytes;
};

static int fisher(void *arg)
{
	struct ewc_work *w = arg;

	return w->fisher->run.ewc_fisher(w->square, w->mean, w->gradient, w->n, 0.999f);
}

static int fisher_alone(void *arg)
{
	struct ewc_work *w = arg;

	return w->fisher->run.ewc_fisher(w->square, NULL, w->gradient, w->n, 0.999f);
}

static int constrain_sum(void *arg)
{
	struct ewc_work *w = arg;

	return w->constrain->run.ewc_constrain(w->gradient, w->theta, &w->sum, 1, w->n);
}

static int constrain_tasks(void *arg)
{
	struct ewc_work *w = arg;

	return w->constrain->run.ewc_constrain(w->gradient, w->theta, w->task, TASKS, w->n);
}

/* What an update of both moments reads. */
static int read_only(void *arg)
{
	const struct ewc_work *w = arg;
	const float *operands[] = {w->square, w->mean, w->gradient};

	for (int i = 0; i < 3; i++)
		w->read->run.read(operands[i], w->n);
	return 0;
}

/* And constraints of tasks that are merged. */
static int read_constrained(void *arg)
{
	const struct ewc_work *w = arg;
	const float *operands[] = {w->gradient, w->theta, w->sum.stiffness, w->sum.anchor};

	for (int i = 0; i < 4; i++)
		w->read->run.read(operands[i], w->n);
	return 0;
}

static int copy(void *arg)
{
	struct ewc_work *w = arg;

	memcpy(w->copy_to, w->copy_from, w->copy_bytes);
	return 0;
}

static bool make_work(struct benchmark *b, struct ewc_work *w, size_t n, size_t moved)
{
	float *anchor = benchmark_floats(b, TASKS * n), *stiffness = benchmark_floats(b, TASKS * n);

	w->n = n;
	w->square = benchmark_floats(b, n);
	w->mean = benchmark_floats(b, n);
	w->gradient = benchmark_floats(b, n);
	w->theta = benchmark_floats(b, n);
	w->copy_bytes = moved / 2; /* each byte is read once and written once */
	w->copy_from = benchmark_alloc(b, w->copy_bytes);
	w->copy_to = benchmark_alloc(b, w->copy_bytes);
	if (!anchor || !stiffness || !w->square || !w->mean || !w->gradient || !w->theta ||
	    !w->copy_from || !w->copy_to)
		return false;
	for (size_t i = 0; i < TASKS * n; i++)
		stiffness[i] = fabsf(stiffness[i]);
	for (int t = 0; t < TASKS; t++)
		w->task[t] = (struct ewc_task){stiffness + (size_t)t * n, anchor + (size_t)t * n,
					       WEIGHT};
	w->sum = w->task[0];
	return true;
}

static struct benchmark_case case_of(const char *name, enum isa isa, int (*run)(void *),
				     struct ewc_work *w, uint64_t bytes)
{
	return (struct benchmark_case){
		.name = name, .isa = isa, .run = run, .arg = w, .bytes = (double)bytes};
}

/* "91 GB/s, 1.50x what memcpy moves here": what a time says on another machine. */
static void bandwidth(char *text, size_t size, uint64_t bytes, double ns, double copy_ns,
		      const char *more)
{
	snprintf(text, size, "%.0f GB/s, %.2fx what memcpy moves here%s", (double)bytes / ns,
		 copy_ns / ns, more);
}

static int fisher_contest(struct benchmark *b, size_t n)
{
	const enum isa isa = benchmark_isa(b);
	const struct benchmark_param params[] = {{"n", NULL, (double)n}};
	struct ewc_work w = {.fisher = kernels_select("ewc_fisher", isa),
			     .read = kernels_select("read_sum", isa)},
			scalar;
	struct benchmark_case c[5];
	double ns[5];
	char why[160], more[80];
	int err;

	if (!make_work(b, &w, n, ewc_fisher_bytes(n, 1)))
		return -ENOMEM;
	scalar = w;
	scalar.fisher = kernels_select("ewc_fisher", ISA_SCALAR);
	c[0] = case_of("mean and square", ISA_SCALAR, fisher, &scalar, ewc_fisher_bytes(n, 1));
	c[0].baseline = "textbook";
	c[1] = case_of("mean and square", w.fisher->isa, fisher, &w, ewc_fisher_bytes(n, 1));
	c[2] = case_of("square alone", w.fisher->isa, fisher_alone, &w, ewc_fisher_bytes(n, 0));
	c[3] = case_of("memcpy of as many bytes", ISA_SCALAR, copy, &w, 2 * w.copy_bytes);
	c[3].baseline = "memcpy";
	c[4] = case_of("merely reading them", w.read->isa, read_only, &w, sizeof(float) * 3 * n);
	c[4].baseline = "reading";
	err = benchmark_contest(b, "Fisher update", params, 1, c, 5, ns);
	if (err || n < 100000)
		return err;
	snprintf(more, sizeof(more), "; mean and variance with it; merely reading them: %.1f us",
		 ns[4] / 1e3);
	bandwidth(why, sizeof(why), ewc_fisher_bytes(n, 1), ns[1], ns[3], more);
	err = benchmark_time_target(b,
				    &(struct benchmark_limit){"Fisher update, 100,000 weights",
							      SONA, "< 1 ms", 1e6, why},
				    ns[1]);
	err = err ? err
		  : benchmark_time_target(b,
					  &(struct benchmark_limit){
						  "Fisher update, 100,000 weights, as published",
						  SONA, "1,150 us", 1.15e6, why},
					  ns[1]);
	err = err ? err
		  : benchmark_time_target(
			    b,
			    &(struct benchmark_limit){"Fisher update with mean, 100,000 weights",
						      GOAL, "<= 18 us", 18e3, why},
			    ns[1]);
	bandwidth(why, sizeof(why), ewc_fisher_bytes(n, 0), ns[2], ns[3] * 3 / 5,
		  "; the Fisher information alone");
	err = err ? err
		  : benchmark_target(b, &(struct benchmark_target){
						.name = "Fisher memory, 100,000 weights",
						.seed = SONA,
						.target = "<= 800 KB",
						.limit = 800.001, /* at most */
						.measured = 2 * (double)n * sizeof(float) / 1e3,
						.unit = "KB",
						.reason = "a mean and a square for each weight"});
	return err ? err
		   : benchmark_time_target(
			     b,
			     &(struct benchmark_limit){"Fisher update alone, 100,000 weights", GOAL,
						       "<= 18 us", 18e3, why},
			     ns[2]);
}

static int constrain_contest(struct benchmark *b, size_t n)
{
	const enum isa isa = benchmark_isa(b);
	const struct benchmark_param params[] = {{"n", NULL, (double)n}, {"tasks", NULL, TASKS}};
	struct ewc_work w = {.constrain = kernels_select("ewc_constrain", isa),
			     .read = kernels_select("read_sum", isa)},
			scalar;
	struct benchmark_case c[5];
	double ns[5];
	char why[160], more[80];
	int err;

	if (!make_work(b, &w, n, ewc_constrain_bytes(n, 1)))
		return -ENOMEM;
	scalar = w;
	scalar.constrain = kernels_select("ewc_constrain", ISA_SCALAR);
	c[0] = case_of("task by task", ISA_SCALAR, constrain_tasks, &scalar,
		       ewc_constrain_bytes(n, TASKS));
	c[0].baseline = "textbook";
	c[0].slow = n >= 100000;
	c[1] = case_of("task by task", w.constrain->isa, constrain_tasks, &w,
		       ewc_constrain_bytes(n, TASKS));
	c[1].baseline = "standard";
	c[2] = case_of("sum of tasks", w.constrain->isa, constrain_sum, &w,
		       ewc_constrain_bytes(n, 1));
	c[3] = case_of("memcpy of as many bytes", ISA_SCALAR, copy, &w, 2 * w.copy_bytes);
	c[3].baseline = "memcpy";
	c[4] = case_of("merely reading them", w.read->isa, read_constrained, &w,
		       sizeof(float) * 4 * n);
	c[4].baseline = "reading";
	err = benchmark_contest(b, "constraints", params, 2, c, 5, ns);
	if (err || n < 100000)
		return err;
	snprintf(more, sizeof(more), "; tasks merged, the same force; merely reading them: %.1f us",
		 ns[4] / 1e3);
	bandwidth(why, sizeof(why), ewc_constrain_bytes(n, 1), ns[2], ns[3], more);
	err = benchmark_time_target(
		b,
		&(struct benchmark_limit){"constraints, 5 tasks, 100,000 weights", SONA, "< 500 us",
					  5e5, why},
		ns[2]);
	return err ? err
		   : benchmark_time_target(b,
					   &(struct benchmark_limit){
						   "constraints, 5 tasks, 100,000 weights, merged",
						   GOAL, "<= 35 us", 35e3, why},
					   ns[2]);
}

int suite_ewc(struct benchmark *b)
{
	static const size_t sizes[] = {1000, 10000, 100000};
	const uint32_t n = benchmark_quick(b) ? 1 : 3;
	int err = 0;

	for (uint32_t i = 0; i < n && !err; i++) {
		err = fisher_contest(b, sizes[i]);
		err = err ? err : constrain_contest(b, sizes[i]);
		benchmark_release(b);
	}
	return err;
}
