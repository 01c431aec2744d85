/* SPDX-License-Identifier: Apache-2.0 */
/* matmul.h: C = A B or C += A B in f32, blocked for the caches and tiled for the registers. */
#ifndef KERNELS_MATMUL_H
#define KERNELS_MATMUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * After K. Goto and R. van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication": B is
 * packed in panels as wide as a register tile, MATMUL_DEPTH deep, so that one of them stays in L1;
 * A in blocks that stay in L2; a tile of C stays in registers for the whole depth.
 */
enum {
	MATMUL_DEPTH = 256,   /* k of a block; a panel of B is 16 KiB at 16 columns */
	MATMUL_HEIGHT = 144,  /* rows of a block of A: 144 KiB */
	MATMUL_WIDTH = 2048,  /* columns of B packed at a time: 2 MiB */
	MATMUL_MAX_TILE = 48, /* rows or columns of any variant's register tile, at most */
	MATMUL_ALIGN = 64,    /* of scratch */
};

struct vector_matmul {
	uint32_t m, n, k;
	const float *a; /* [m][k], rows a_row floats apart */
	const float *b; /* [k][n], rows b_row apart; or, transposed, [n][k] */
	float *c;	/* [m][n], rows c_row apart; overlaps nothing */
	size_t a_row, b_row, c_row;
	bool b_transposed;
	bool add; /* C += A B */
};

/*
 * Held to |got - ref| <= MATMUL_ERROR * (|c| + sum |a b|). scratch is MATMUL_ALIGN-aligned, of
 * vector_matmul_scratch() bytes or more; the scalar variant needs none. -EINVAL for a null pointer,
 * rows that overlap, or scratch that is too small or not aligned; m, n or k may be 0.
 */
#define MATMUL_ERROR 1e-5
typedef int vector_matmul_fn(const struct vector_matmul *mm, void *scratch, size_t scratch_bytes);
vector_matmul_fn vector_matmul_ref, vector_matmul_scalar, vector_matmul_avx2, vector_matmul_avx512,
	vector_matmul_neon;

size_t vector_matmul_scratch(const struct vector_matmul *mm);
/* For the variants: floats at the start of scratch that are for A; 0 or -EINVAL; also scratch. */
size_t vector_matmul_a_floats(const struct vector_matmul *mm);
int vector_matmul_check(const struct vector_matmul *mm);
int vector_matmul_check_tiled(const struct vector_matmul *mm, const void *scratch,
			      size_t scratch_bytes);
/* Multiply-adds count two; bytes once each for what is read and written. */
uint64_t vector_matmul_flops(const struct vector_matmul *mm);
uint64_t vector_matmul_bytes(const struct vector_matmul *mm);

#endif
