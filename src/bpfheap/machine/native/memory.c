#include "memory.h"

void *bh_memory_map(struct bh_core *core, size_t size, size_t align, enum bh_granule kind)
{
	void *memory;

	if (!bh_is_hardened(core))
		return bh_pages_map(core, size, align);
	if (!bh_pages_take(core, size))
		return NULL;
	memory = bh_region_take((struct bh_region *)core, size, kind);
	if (!memory)
		bh_pages_give(core, size);
	return memory;
}

void bh_memory_unmap(struct bh_core *core, void *memory, size_t size)
{
	if (!bh_is_hardened(core)) {
		bh_pages_unmap(core, memory, size);
		return;
	}
	bh_region_give((struct bh_region *)core, memory, size);
	bh_pages_give(core, size);
}
