/* SPDX-License-Identifier: Apache-2.0 */
/* uncounted.c: the metered calls of kernels.h, compiled without their counters. */
#define PERFTOP_DISABLED
#include "kernels/benchmark/uncounted.h"

int uncounted_attention(void *arg)
{
	return counted_attention(arg);
}

int uncounted_lora_row(void *arg)
{
	return counted_lora_row(arg);
}

int uncounted_lora_rows(void *arg)
{
	return counted_lora_rows(arg);
}

/* The global left: as near to a call as a number of its thread can be. */
static __thread uint32_t left;

int countdown_lora_row(void *arg)
{
	if (!left--)
		left = METERED_ONE_IN;
	return counted_lora_row(arg);
}
