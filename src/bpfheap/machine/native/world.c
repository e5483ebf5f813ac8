#define _GNU_SOURCE
#include "world.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

enum { TRIES = 1 << 16 };

/* Whoever reads meanwhile finds out, and reads again. */
#define RACES __attribute__((no_sanitize("thread")))

/* The number of those that begin at an address or before. */
RACES static uint32_t up_to(const struct bh_blocks *all, uint64_t address)
{
	uint32_t low = 0, high = atomic_load_explicit(&all->count, memory_order_relaxed);

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (all->block[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

RACES static enum bh_found look(const struct bh_world *world, uint64_t address, uint64_t size,
				struct bh_block *found)
{
	uint32_t n = up_to(&world->blocks, address);

	if (n) {
		*found = world->blocks.block[n - 1];
		/* Behind its end, too: that is where the end of it leads. */
		if (address - found->start <= found->size)
			return found->live && found->size - (address - found->start) >= size ? BH_THERE :
											       BH_GONE;
	}
	found->size = 0;
	return BH_GONE;
}

enum bh_found bh_world_find(const struct bh_core *core, uint64_t address, uint64_t size, bool waits,
			    struct bh_block *found)
{
	const struct bh_world *world = bh_world_of(core);

	if (!bh_world_has(core, address))
		return BH_ELSEWHERE;
	for (uint32_t tries = 0; waits || tries < TRIES; tries++) {
		uint32_t before = atomic_load_explicit(&world->changes, memory_order_acquire);
		enum bh_found where;

		if (before % 2) {
			if (waits)
				sched_yield();
			continue;
		}
		where = look(world, address, size, found);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&world->changes, memory_order_relaxed) == before)
			return where;
	}
	return BH_GONE;
}

/* Put one in its place, or in that of another which begins there. */
RACES static bool put(struct bh_world *world, struct bh_blocks *all, uint32_t most,
		      const struct bh_block *block)
{
	size_t bytes = (size_t)most * sizeof(*block);
	uint32_t count = atomic_load(&all->count), n;

	if (!all->block) {
		void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (room == MAP_FAILED)
			return false;
		all->block = room;
	}
	n = up_to(all, block->start);
	if (n && all->block[n - 1].start == block->start) {
		n--;
	} else if (count == most) {
		errno = ENOMEM;
		return false;
	}
	atomic_fetch_add(&world->changes, 1);
	atomic_thread_fence(memory_order_release);
	if (n == count || all->block[n].start != block->start) {
		memmove(all->block + n + 1, all->block + n, (count - n) * sizeof(*block));
		atomic_store(&all->count, count + 1);
	}
	all->block[n] = *block;
	atomic_fetch_add_explicit(&world->changes, 1, memory_order_release);
	return true;
}

bool bh_world_add(struct bh_core *core, const struct bh_block *chunk)
{
	struct bh_world *world = bh_world_of(core);
	void *pages = (void *)(uintptr_t)chunk->start;

	if (!bh_mapped_add(&world->pages, pages, chunk->size))
		return false;
	if (put(world, &world->chunks, BH_CHUNKS, chunk))
		return true;
	bh_mapped_remove(&world->pages, pages, chunk->size);
	return false;
}

bool bh_world_set(struct bh_core *core, const struct bh_block *block)
{
	struct bh_world *world = bh_world_of(core);

	return put(world, &world->blocks, BH_BLOCKS, block);
}

void bh_world_destroy(struct bh_core *core)
{
	const struct bh_region *region = (const struct bh_region *)core;
	struct bh_world *world = bh_world_of(core);

	/* A region goes as a whole. */
	for (uint32_t n = 0; !region->base && n < atomic_load(&world->chunks.count); n++)
		munmap((void *)(uintptr_t)world->chunks.block[n].start, world->chunks.block[n].size);
	bh_mapped_destroy(&world->pages);
	if (world->chunks.block)
		munmap(world->chunks.block, BH_CHUNKS * sizeof(struct bh_block));
	if (world->blocks.block)
		munmap(world->blocks.block, BH_BLOCKS * sizeof(struct bh_block));
}

bool bh_world_copy_of(const struct bh_core *core, uint64_t variable, uint32_t cpu, uint64_t *copy)
{
	const struct bh_world *world = bh_world_of(core);
	uint32_t count = atomic_load_explicit(&world->variables, memory_order_acquire);

	for (uint32_t n = 0; n < count; n++) {
		if (world->variable[n] != variable)
			continue;
		*copy = ((const uint64_t *)(uintptr_t)variable)[cpu];
		return true;
	}
	return false;
}
