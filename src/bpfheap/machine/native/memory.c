#include "memory.h"
#include "world.h"

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

uint64_t bh_chunk_map(struct bh_core *core, uint64_t size)
{
	struct bh_block chunk = { .size = (size + BH_GRANULE - 1) & ~(uint64_t)(BH_GRANULE - 1) };
	char *memory = bh_memory_map(core, chunk.size, BH_GRANULE, BH_TAKEN);

	if (!memory)
		return 0;
	chunk.start = (uintptr_t)memory - bh_shadow(core);
	if (!bh_world_add(core, &chunk)) {
		bh_memory_unmap(core, memory, chunk.size);
		return 0;
	}
	return chunk.start;
}
