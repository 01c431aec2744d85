/* SPDX-License-Identifier: Apache-2.0 */
/* ewc_loops.h: EWC++ over the vec_* primitives of one ISA; included by ewc_<isa>.c. */
#include <errno.h>

#define LOOP  static inline __attribute__((always_inline))
#define LANES ((size_t)VEC_LANES)
#define GROUP (4 * LANES) /* four vectors at once: what is loaded for all is loaded once */

/* All are bound by memory: the one thing to gain is to touch each operand once. */
LOOP vec load_lanes(const float *p, size_t n)
{
	return n == LANES ? vec_loadu(p) : vec_load_first(p, (uint32_t)n);
}

LOOP void store_lanes(float *p, vec v, size_t n)
{
	if (n == LANES)
		vec_storeu(p, v);
	else
		vec_store_first(p, v, (uint32_t)n);
}

LOOP void fisher_lanes(float *square, float *mean, const float *gradient, size_t n, vec decay,
		       vec rest)
{
	vec g = load_lanes(gradient, n), part = vec_mul(rest, g);

	store_lanes(square, vec_fma(part, g, vec_mul(decay, load_lanes(square, n))), n);
	if (mean)
		store_lanes(mean, vec_fma(decay, load_lanes(mean, n), part), n);
}

LOOP void fisher_all(float *square, float *mean, const float *gradient, size_t n, float decay)
{
	const vec d = vec_splat(decay), rest = vec_splat(1 - decay);
	size_t i = 0;

	for (; i + GROUP <= n; i += GROUP)
#pragma GCC unroll 4
		for (size_t u = 0; u < GROUP; u += LANES)
			fisher_lanes(square + i + u, mean ? mean + i + u : NULL, gradient + i + u,
				     LANES, d, rest);
	for (; i < n; i += LANES)
		fisher_lanes(square + i, mean ? mean + i : NULL, gradient + i,
			     n - i < LANES ? n - i : LANES, d, rest);
}

LOOP int ewc_fisher(float *square, float *mean, const float *gradient, size_t n, float decay)
{
	if (ewc_fisher_check(square, gradient, decay))
		return -EINVAL;
	if (mean)
		fisher_all(square, mean, gradient, n, decay);
	else
		fisher_all(square, NULL, gradient, n, decay);
	return 0;
}

/* `vecs` vectors from i on; n lanes of the last one. */
LOOP void constrain_lanes(const size_t vecs, float *gradient, const float *theta,
			  const struct ewc_task *tasks, uint32_t ntasks, size_t i, size_t n)
{
	vec g[4], x[4];

#pragma GCC unroll 4
	for (size_t u = 0; u < vecs; u++) {
		g[u] = load_lanes(gradient + i + u * LANES, n);
		x[u] = load_lanes(theta + i + u * LANES, n);
	}
	for (uint32_t t = 0; t < ntasks; t++) {
		const float *f = tasks[t].stiffness + i, *a = tasks[t].anchor + i;
		const vec w = vec_splat(tasks[t].weight);

#pragma GCC unroll 4
		for (size_t u = 0; u < vecs; u++)
			g[u] = vec_fma(vec_mul(w, load_lanes(f + u * LANES, n)),
				       vec_sub(x[u], load_lanes(a + u * LANES, n)), g[u]);
	}
#pragma GCC unroll 4
	for (size_t u = 0; u < vecs; u++)
		store_lanes(gradient + i + u * LANES, g[u], n);
}

LOOP int ewc_constrain(float *gradient, const float *theta, const struct ewc_task *tasks,
		       uint32_t ntasks, size_t n)
{
	size_t i = 0;

	if (ewc_constrain_check(gradient, theta, tasks, ntasks))
		return -EINVAL;
	if (ntasks == 1)
		for (; i + GROUP <= n; i += GROUP)
			constrain_lanes(4, gradient, theta, tasks, 1, i, LANES);
	for (; i + GROUP <= n; i += GROUP)
		constrain_lanes(4, gradient, theta, tasks, ntasks, i, LANES);
	for (; i < n; i += LANES)
		constrain_lanes(1, gradient, theta, tasks, ntasks, i,
				n - i < LANES ? n - i : LANES);
	return 0;
}

LOOP int ewc_merge(float *stiffness, float *anchor, float keep, const struct ewc_task *task,
		   size_t n)
{
	vec k, w;

	if (ewc_merge_check(stiffness, anchor, keep, task))
		return -EINVAL;
	k = vec_splat(keep);
	w = vec_splat(task->weight);
	for (size_t i = 0; i < n; i += LANES) {
		const size_t lanes = n - i < LANES ? n - i : LANES;
		vec old = vec_mul(k, load_lanes(stiffness + i, lanes));
		vec new = vec_mul(w, load_lanes(task->stiffness + i, lanes));
		vec sum = vec_add(old, new);
		vec moment = vec_fma(old, load_lanes(anchor + i, lanes),
				     vec_mul(new, load_lanes(task->anchor + i, lanes)));

		store_lanes(stiffness + i, sum, lanes);
		store_lanes(anchor + i, vec_div(moment, vec_nonzero(sum)), lanes);
	}
	return 0;
}
