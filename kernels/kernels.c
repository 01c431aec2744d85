/* SPDX-License-Identifier: Apache-2.0 */
/* kernels.c: the table from kernels.def. */
#include "kernels/kernels.h"

#include <string.h>

const struct kernel kernels[] = {
#define KERNEL(kind_, name_, isa_, features_, fn_) \
	{                                          \
		.name = #name_,                    \
		.kind = KERNEL_##kind_,            \
		.isa = ISA_##isa_,                 \
		.features = ISA_##features_,       \
		.run.kind_ = fn_,                  \
	},
#include "kernels/kernels.def"
#undef KERNEL
};
const uint32_t kernels_count = sizeof(kernels) / sizeof(kernels[0]);

bool kernels_supported(const struct kernel *k)
{
	return (isa_features() & k->features) == k->features;
}

const struct kernel *kernels_find(const char *name, enum isa isa)
{
	for (uint32_t i = 0; i < kernels_count; i++)
		if (kernels[i].isa == isa && !strcmp(kernels[i].name, name) &&
		    kernels_supported(&kernels[i]))
			return &kernels[i];
	return NULL;
}

const struct kernel *kernels_select(const char *name, enum isa isa)
{
	const struct kernel *k = NULL;

	for (int i = (int)isa; i >= 0 && !k; i--)
		k = kernels_find(name, (enum isa)i);
	return k;
}

size_t kernels_attention_scratch(const struct kernel *k, const struct attention *a)
{
	if (!strcmp(k->name, "attention_standard"))
		return attention_standard_scratch(a);
	if (k->run.attention == attention_textbook_scalar)
		return attention_textbook_scratch(a);
	if (!strcmp(k->name, "attention_memory_efficient"))
		return attention_memory_efficient_scratch(a);
	if (!strcmp(k->name, "attention_chunked"))
		return attention_chunked_scratch(a);
	return attention_flash_scratch(a);
}
