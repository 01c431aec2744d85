/* SPDX-License-Identifier: Apache-2.0 */
/* attention_step_avx2.h: one step of attention's full register tiles with AVX2, in assembly. */
#ifndef KERNELS_ATTENTION_STEP_AVX2_H
#define KERNELS_ATTENTION_STEP_AVX2_H

/*
 * a[r][c] += b[r * b_row] * x[c], c a vector, as the templates' own step does it. 12 accumulators
 * and 3 vectors leave one register for the factor. Of the same written with intrinsics and unrolled
 * GCC makes either several loads of one vector, each the operand of a multiplication (and loads
 * bind), or, where these are forbidden, accumulators on the stack: 8 to 25 % slower.
 */
/* clang-format off */
#define STEP_ROW3(at, a, b, c)                   \
	"vbroadcastss " at ", %%ymm15\n\t"       \
	"vfmadd231ps %%ymm12, %%ymm15, %[" a "]\n\t" \
	"vfmadd231ps %%ymm13, %%ymm15, %[" b "]\n\t" \
	"vfmadd231ps %%ymm14, %%ymm15, %[" c "]\n\t"
#define STEP_ROW2(at, a, b)                      \
	"vbroadcastss " at ", %%ymm15\n\t"       \
	"vfmadd231ps %%ymm12, %%ymm15, %[" a "]\n\t" \
	"vfmadd231ps %%ymm13, %%ymm15, %[" b "]\n\t"

#define STEP_4X3(x, b, b_row, a)                                                           \
	__asm__("vmovaps (%[v]), %%ymm12\n\t"                                              \
		"vmovaps 32(%[v]), %%ymm13\n\t"                                            \
		"vmovaps 64(%[v]), %%ymm14\n\t"                                            \
		STEP_ROW3("(%[f])", "a0", "a1", "a2")                                      \
		STEP_ROW3("(%[f], %[r])", "a3", "a4", "a5")                                \
		STEP_ROW3("(%[f], %[r], 2)", "a6", "a7", "a8")                             \
		STEP_ROW3("(%[f], %[r3])", "a9", "aa", "ab")                               \
		: [a0] "+x"((a)[0][0]), [a1] "+x"((a)[0][1]), [a2] "+x"((a)[0][2]),        \
		  [a3] "+x"((a)[1][0]), [a4] "+x"((a)[1][1]), [a5] "+x"((a)[1][2]),        \
		  [a6] "+x"((a)[2][0]), [a7] "+x"((a)[2][1]), [a8] "+x"((a)[2][2]),        \
		  [a9] "+x"((a)[3][0]), [aa] "+x"((a)[3][1]), [ab] "+x"((a)[3][2])         \
		: [v] "r"(x), [f] "r"(b), [r] "r"((b_row) * 4), [r3] "r"((b_row) * 12)     \
		: "ymm12", "ymm13", "ymm14", "ymm15", "memory")

#define STEP_6X2(x, b, b_row, a)                                                           \
	__asm__("vmovaps (%[v]), %%ymm12\n\t"                                              \
		"vmovaps 32(%[v]), %%ymm13\n\t"                                            \
		STEP_ROW2("(%[f])", "a0", "a1")                                            \
		STEP_ROW2("(%[f], %[r])", "a2", "a3")                                      \
		STEP_ROW2("(%[f], %[r], 2)", "a4", "a5")                                   \
		STEP_ROW2("(%[f], %[r3])", "a6", "a7")                                     \
		STEP_ROW2("(%[f], %[r], 4)", "a8", "a9")                                   \
		STEP_ROW2("(%[f], %[r5])", "aa", "ab")                                     \
		: [a0] "+x"((a)[0][0]), [a1] "+x"((a)[0][1]), [a2] "+x"((a)[1][0]),        \
		  [a3] "+x"((a)[1][1]), [a4] "+x"((a)[2][0]), [a5] "+x"((a)[2][1]),        \
		  [a6] "+x"((a)[3][0]), [a7] "+x"((a)[3][1]), [a8] "+x"((a)[4][0]),        \
		  [a9] "+x"((a)[4][1]), [aa] "+x"((a)[5][0]), [ab] "+x"((a)[5][1])         \
		: [v] "r"(x), [f] "r"(b), [r] "r"((b_row) * 4), [r3] "r"((b_row) * 12),    \
		  [r5] "r"((b_row) * 20)                                                   \
		: "ymm12", "ymm13", "ymm15", "memory")
/* clang-format on */

#endif
