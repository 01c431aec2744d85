/* SPDX-License-Identifier: Apache-2.0 */
/* matmul.c: what all variants of the matrix product share, and the scalar and reference ones. */
#include "kernels/vector/matmul.h"

#include <errno.h>

#include "kernels/scalar_only.h"

static size_t at_most(size_t n, size_t most)
{
	return n < most ? n : most;
}

/* Packing stores whole vectors, past the end of what it packs: a tile more holds that. */
static size_t packed_floats(const struct vector_matmul *mm, size_t n)
{
	const size_t floats = at_most(mm->k, MATMUL_DEPTH) * (n + MATMUL_MAX_TILE);

	return (floats + MATMUL_MAX_TILE + 15) / 16 * 16;
}

size_t vector_matmul_a_floats(const struct vector_matmul *mm)
{
	return packed_floats(mm, at_most(mm->m, MATMUL_HEIGHT));
}

size_t vector_matmul_scratch(const struct vector_matmul *mm)
{
	return (vector_matmul_a_floats(mm) + packed_floats(mm, at_most(mm->n, MATMUL_WIDTH))) *
	       sizeof(float);
}

int vector_matmul_check(const struct vector_matmul *mm)
{
	if (!mm || !mm->a || !mm->b || !mm->c)
		return -EINVAL;
	if (mm->a_row < mm->k || mm->b_row < (mm->b_transposed ? mm->k : mm->n))
		return -EINVAL;
	return mm->c_row < mm->n ? -EINVAL : 0;
}

int vector_matmul_check_tiled(const struct vector_matmul *mm, const void *scratch,
			      size_t scratch_bytes)
{
	if (vector_matmul_check(mm) || !scratch || (uintptr_t)scratch % MATMUL_ALIGN)
		return -EINVAL;
	return scratch_bytes < vector_matmul_scratch(mm) ? -EINVAL : 0;
}

uint64_t vector_matmul_flops(const struct vector_matmul *mm)
{
	return 2ull * mm->m * mm->n * mm->k;
}

uint64_t vector_matmul_bytes(const struct vector_matmul *mm)
{
	const uint64_t m = mm->m, n = mm->n, k = mm->k;

	return sizeof(float) * (m * k + k * n + m * n * (mm->add ? 2 : 1));
}

#define DEFINE_MATMUL(SUFFIX, TYPE, ATTRIBUTE)                                                  \
	ATTRIBUTE int vector_matmul_##SUFFIX(const struct vector_matmul *mm, void *scratch,     \
					     size_t scratch_bytes)                              \
	{                                                                                       \
		if (vector_matmul_check(mm))                                                    \
			return -EINVAL;                                                         \
		for (size_t i = 0; i < mm->m; i++) {                                            \
			for (size_t j = 0; j < mm->n; j++) {                                    \
				const float *a = mm->a + i * mm->a_row;                         \
				float *c = mm->c + i * mm->c_row + j;                           \
				TYPE s = mm->add ? *c : 0;                                      \
                                                                                                \
				for (size_t k = 0; k < mm->k; k++)                              \
					s += (TYPE)a[k] * (mm->b_transposed                     \
								   ? mm->b[j * mm->b_row + k]   \
								   : mm->b[k * mm->b_row + j]); \
				*c = (float)s;                                                  \
			}                                                                       \
		}                                                                               \
		return 0;                                                                       \
	}

DEFINE_MATMUL(ref, double, )
DEFINE_MATMUL(scalar, float, SCALAR_ONLY)
