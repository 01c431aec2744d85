/* SPDX-License-Identifier: Apache-2.0 */
/* func.bpf.h: latency of user functions and USDT markers. */
#ifndef PERFTOP_FUNC_BPF_H
#define PERFTOP_FUNC_BPF_H
#endif
