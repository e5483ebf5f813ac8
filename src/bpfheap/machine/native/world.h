/*
 * The kernel around programs, as somebody makes it up: blocks of memory, the current task, the clock.
 *
 * Blocks lie in chunks, with room between them, and stay mapped to the end: an address that leads to one
 * which was freed is nothing to whoever looks here first, and reads what there is now otherwise. Whoever
 * changes something has the GIL; runs look at any time, in signals too.
 */
#ifndef BPFHEAP_WORLD_H
#define BPFHEAP_WORLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapped.h"
#include "region.h"

struct bh_core;

/* Whose memory a block is: enum Space of runtime/world.py. */
enum bh_space {
	BH_KERNEL,
	BH_USER,
	BH_EITHER,
	BH_SPACES,
};

enum {
	BH_COMM = 16, /* TASK_COMM_LEN */
	BH_BLOCKS = 1 << 20,
	BH_CHUNKS = 1 << 16,
	BH_VARIABLES = 64,
};

struct bh_block {
	uint64_t start; /* as programs know it */
	uint64_t size;
	uint32_t space;
	bool live;
};

/* By their starts. */
struct bh_blocks {
	struct bh_block *block; /* room for all that there may be; NULL before the first */
	_Atomic uint32_t count;
};

/* What calls tell of the current task. Where its block has a member of that name, that is what counts. */
struct bh_current {
	uint64_t task; /* the block, 0 for none */
	uint32_t pid, tgid, uid, gid;
	char comm[BH_COMM];
	const uint32_t *pid_at, *tgid_at;
	const char *comm_at;
	const uint64_t *cred_at;
	uint64_t cred; /* what that leads to, as far as anybody knows the type of it */
	const uint32_t *uid_at, *gid_at;
	bool asked; /* Python knows better */
};

struct bh_world {
	_Atomic bool clocked; /* somebody has set the clock */
	_Atomic uint64_t now;
	_Atomic uint32_t changes; /* odd while blocks are about to change */
	struct bh_blocks blocks;
	struct bh_blocks chunks;
	struct bh_mapped pages; /* of chunks */
	struct bh_current current;
	_Atomic uint32_t variables;
	uint64_t variable[BH_VARIABLES]; /* those with a copy for each CPU: a table of these each */
};

enum { BH_TICK = 1000 }; /* nanoseconds that a look at the clock takes, once somebody has set it */

/* The second member of struct bh_core. */
static inline struct bh_world *bh_world_of(const struct bh_core *core)
{
	return (struct bh_world *)((char *)(uintptr_t)core + sizeof(struct bh_region));
}

/* Does an address lead into a chunk? From any context. */
static inline bool bh_world_has(const struct bh_core *core, uint64_t address)
{
	struct bh_world *world = bh_world_of(core);

	return atomic_load_explicit(&world->chunks.count, memory_order_relaxed) &&
	       bh_mapped_has(&world->pages, address);
}

enum bh_found {
	BH_ELSEWHERE,
	BH_GONE, /* between blocks, in one that was freed, or partly in one */
	BH_THERE,
};

/* Where `size` bytes are. `waits`: whoever changes blocks meanwhile comes to an end of that, as it is not who
 * was interrupted. */
enum bh_found bh_world_find(const struct bh_core *core, uint64_t address, uint64_t size, bool waits,
			    struct bh_block *found);
/* Memory that is for blocks from here on: see bh_chunk_map. False if there is too much. */
bool bh_world_add(struct bh_core *core, const struct bh_block *chunk);
/* Let there be a block in a chunk, or be one no more. False if there are too many. */
bool bh_world_set(struct bh_core *core, const struct bh_block *block);
/* With all chunks. */
void bh_world_destroy(struct bh_core *core);

/* A copy of a variable of the kernel for a CPU; false if it is none that has one for each. */
bool bh_world_copy_of(const struct bh_core *core, uint64_t variable, uint32_t cpu, uint64_t *copy);

/* What the clock says, if somebody has set it. */
static inline bool bh_world_clock(const struct bh_core *core, uint64_t *now)
{
	struct bh_world *world = bh_world_of(core);

	if (!atomic_load_explicit(&world->clocked, memory_order_relaxed))
		return false;
	*now = atomic_fetch_add_explicit(&world->now, BH_TICK, memory_order_relaxed) + BH_TICK;
	return true;
}

#endif
