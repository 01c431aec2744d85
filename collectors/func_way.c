/* SPDX-License-Identifier: Apache-2.0 */
/* func_way.c: functions are timed by eBPF, or by a library in the process. */
#include "collectors/func_priv.h"

int func_way_sites(struct func *f, struct session *se, uint32_t from, char *why, size_t why_size)
{
	return f->calls ? func_calls_sites(f, se, why, why_size)
			: func_attach_sites(f->attach, from, why, why_size);
}

int func_way_newcomers(struct func *f, char *why, size_t why_size)
{
	return f->calls ? 0 : func_attach_newcomers(f->attach, why, why_size);
}

int func_way_move(struct func *f, enum func_set to, char *why, size_t why_size)
{
	return f->calls ? func_calls_move(f, to, why, why_size)
			: func_attach_move(f->attach, f->moved, to, why, why_size);
}

int func_way_window(struct func *f, bool open, char *why, size_t why_size)
{
	return f->calls ? func_calls_window(f, open, why, why_size)
			: func_attach_window(f->attach, open, why, why_size);
}

void func_way_retire(struct func *f)
{
	if (!f->calls)
		func_attach_retire(f->attach);
}

uint64_t func_way_calls(const struct func *f, uint32_t row)
{
	return f->calls ? func_calls_count(f, row) : func_hists_calls(&f->hists, row);
}

void func_way_sum(const struct func *f, uint32_t row, struct latency_sum *sum)
{
	if (f->calls)
		func_calls_sum(f, row, sum);
	else
		func_hists_sum(&f->hists, row, sum);
}

void func_way_free(struct func *f)
{
	func_attach_free(f->attach);
	func_calls_free(f->calls);
}
