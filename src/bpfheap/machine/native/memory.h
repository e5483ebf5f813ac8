/* Memory that programs reach: of the core's region if it is hardened, else pages like all others. */
#ifndef BPFHEAP_MEMORY_H
#define BPFHEAP_MEMORY_H

#include "cpu.h"

/* As bh_pages_map, aligned to at most a granule. The address is that of the shadow: what programs reach is
 * bh_shadow(core) below. */
void *bh_memory_map(struct bh_core *core, size_t size, size_t align, enum bh_granule kind);
void bh_memory_unmap(struct bh_core *core, void *memory, size_t size);
/* Memory for blocks of the kernel around programs (world.h), as programs know it; 0 with errno set. */
uint64_t bh_chunk_map(struct bh_core *core, uint64_t size);

#endif
