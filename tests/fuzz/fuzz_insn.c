/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_insn.c: bytes of a hostile file taken for code, decoded and placed. */
#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/place.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_insn(const uint8_t *code, size_t size, const struct insn *insn, int len)
{
	struct insn again;

	if (len != insn->len || len < 1 || len > 15 || (size_t)len > size)
		abort();
	/* What follows an instruction does not change it, and less of it is none. */
	if (insn_x86_decode(code, (size_t)len, &again) != len ||
	    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the decoder clears padding */
	    memcmp(&again, insn, sizeof(again)) ||
	    insn_x86_decode(code, (size_t)len - 1, &again) >= 0)
		abort();
	if (insn->kind != INSN_OTHER && insn->unattachable)
		abort();
}

static void check_place(const uint8_t *code, size_t size, uint32_t emulated)
{
	struct place_code parts[] = {{0x1000, code, size}, {0x1000 + size, code, size / 2}};
	struct place p;

	place_function(EM_X86_64, parts, 2, emulated, emulated & 1, &p);
	if (!p.reason || (p.delta && p.delta >= size))
		abort();
	if (p.how == PLACE_MOVED && (!p.returns || !(emulated & (1u << p.insn))))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct insn insn;

	for (size_t at = 0; at < size;) {
		int len = insn_x86_decode(data + at, size - at, &insn);

		if (len >= 0)
			check_insn(data + at, size - at, &insn, len);
		at += len > 0 ? (size_t)len : 1;
	}
	if (size)
		check_place(data + 1, size - 1, data[0] & ((1u << INSN_OTHER) - 1));
	return 0;
}
