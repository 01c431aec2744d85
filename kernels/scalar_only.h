/* SPDX-License-Identifier: Apache-2.0 */
/* scalar_only.h: scalar variants stay scalar on purpose: they are a baseline. */
#ifndef KERNELS_SCALAR_ONLY_H
#define KERNELS_SCALAR_ONLY_H

#if defined(__clang__)
#define SCALAR_ONLY
#else
#define SCALAR_ONLY __attribute__((optimize("no-tree-vectorize")))
#endif

#endif
