#define _GNU_SOURCE
#include "place.h"

#include <string.h>

/* Not checked by the thread sanitizer: programs may race for memory, as on Linux. */
#define RACES __attribute__((no_sanitize("thread")))

/* How many bytes there are from an address on, in memory that begins at `base`. */
static uint64_t rest(const void *base, uint64_t length, uint64_t address)
{
	uint64_t at = address - (uintptr_t)base;

	return at < length ? length - at : 0;
}

/* The same in what a run has of its own. */
static uint64_t rest_of_own(const struct bh_run *run, uint64_t address)
{
	uintptr_t frames = run->asked ? run->asked : (uintptr_t)__builtin_frame_address(0);
	uint64_t found;

	found = rest(run->stack, sizeof(run->own_stack), address);
	if (!found && run->packet.page)
		found = rest(run->packet.page, BH_PACKET, address);
	if (!found && run->ctx)
		found = rest(run->ctx, run->ctx_size, address);
	/* Where one instruction reads memory on one path and an object on another, it may be any of them. */
	if (!found && run->machine_stack > frames)
		found = rest((const void *)frames, run->machine_stack - frames, address);
	return found;
}

/* Memory that is no block. How many of the bytes are there, and were copied. */
RACES static uint64_t copy_own(struct bh_run *run, char *to, uint64_t address, uint64_t size)
{
	uint64_t there;

	if (run->window) {
		const struct bh_region *region = bh_region_of(run->here.core);

		for (there = 0; there < size;) {
			uint64_t piece = size - there < BH_GRANULE ? size - there : BH_GRANULE;
			uint64_t from = address + there;

			if (from - (uintptr_t)region->base >= BH_REGION ||
			    !bh_region_at(region, from, piece, BH_TAKEN))
				return there;
			memmove(to + there, (const void *)(uintptr_t)from, piece);
			there += piece;
		}
		return size;
	}
	there = rest_of_own(run, address);
	if (!there)
		return bh_pages_copy(run->here.core, to, address, size);
	if (there > size)
		there = size;
	memmove(to, (const void *)(uintptr_t)address, there);
	return there;
}

/* What Python performs copies as much as a program likes; on a hardened core that takes its time, too. */
static void pay(struct bh_run *run, uint64_t size)
{
	if (run->window)
		run->budget -= (int64_t)(size / (run->asked ? BH_PLAYED_BYTES : BH_COPIED));
}

static enum bh_found find(struct bh_run *run, uint64_t address, uint64_t size, struct bh_block *found)
{
	return bh_world_find(run->here.core, address, size, !run->in_signal, found);
}

RACES bool bh_place_read(struct bh_run *run, void *to, uint64_t address, uint64_t size)
{
	struct bh_block block;

	if (!size)
		return true;
	pay(run, size);
	if (run->window) {
		const char *from = bh_region_at(bh_region_of(run->here.core), address, size, BH_ZEROS);

		if (from)
			memmove(to, from, size);
		return from != NULL;
	}
	switch (find(run, address, size, &block)) {
	case BH_THERE:
		memmove(to, (const void *)(uintptr_t)address, size);
		return true;
	case BH_GONE:
		return false;
	default:
		return copy_own(run, to, address, size) == size;
	}
}

RACES bool bh_place_write(struct bh_run *run, uint64_t address, const void *from, uint64_t size)
{
	struct bh_block block;

	if (!size)
		return true;
	pay(run, size);
	if (run->window) {
		char *to = bh_region_at(bh_region_of(run->here.core), address, size, BH_VACANT);

		if (to)
			memmove(to, from, size);
		return to != NULL;
	}
	switch (find(run, address, size, &block)) {
	case BH_GONE:
		return false;
	case BH_ELSEWHERE:
		if (rest_of_own(run, address) < size)
			return bh_pages_write(run->here.core, address, from, size);
		break;
	default:
		break;
	}
	memmove((void *)(uintptr_t)address, from, size);
	return true;
}

static bool fits(enum bh_space its, enum bh_space wanted)
{
	return its == wanted || its == BH_EITHER || wanted == BH_EITHER;
}

RACES bool bh_place_probe(struct bh_run *run, void *to, uint64_t address, uint64_t size, enum bh_space space)
{
	struct bh_block block;

	if (!size)
		return true;
	pay(run, size);
	switch (find(run, address, size, &block)) {
	case BH_GONE:
		return false;
	case BH_ELSEWHERE:
		return fits(BH_KERNEL, space) && copy_own(run, to, address, size) == size;
	default:
		if (fits((enum bh_space)block.space, space)) {
			memmove(to, (const void *)(uintptr_t)address, size);
			return true;
		}
		return false;
	}
}

/* Below it there is user space, or no address at all. */
#define KERNEL_HALF 0xffff800000000000ull

RACES bool bh_place_is_users(struct bh_run *run, uint64_t address)
{
	struct bh_block block;
	char byte;

	switch (find(run, address, 1, &block)) {
	case BH_GONE:
		return false;
	case BH_ELSEWHERE:
		return address < KERNEL_HALF && copy_own(run, &byte, address, 1) != 1;
	default:
		return block.space == BH_USER;
	}
}

/* A text that is no block's, in small pieces: what is behind its NUL stays as it is at `to`. */
RACES static int64_t text_elsewhere(struct bh_run *run, char *to, uint64_t address, uint64_t limit)
{
	char piece[64];

	for (uint64_t known = 0; known < limit;) {
		uint64_t size = sizeof(piece) - (address + known) % sizeof(piece), there;
		const char *nul;

		if (size > limit - known)
			size = limit - known;
		there = copy_own(run, piece, address + known, size);
		nul = memchr(piece, 0, there);
		if (nul)
			there = (uint64_t)(nul - piece);
		memcpy(to + known, piece, there);
		known += there;
		if (nul)
			return (int64_t)known;
		if (there < size)
			return -1;
	}
	return (int64_t)limit;
}

RACES int64_t bh_place_text(struct bh_run *run, char *to, uint64_t address, uint64_t limit,
			    enum bh_space space)
{
	struct bh_block block;
	uint64_t there, size;

	if (!limit)
		return 0;
	pay(run, limit);
	switch (find(run, address, 1, &block)) {
	case BH_GONE:
		return -1;
	case BH_ELSEWHERE:
		return fits(BH_KERNEL, space) ? text_elsewhere(run, to, address, limit) : -1;
	default:
		break;
	}
	if (!fits((enum bh_space)block.space, space))
		return -1;
	there = block.size - (address - block.start);
	size = strnlen((const char *)(uintptr_t)address, there < limit ? there : limit);
	if (size == there && there < limit)
		return -1;
	memmove(to, (const void *)(uintptr_t)address, size);
	return (int64_t)size;
}

RACES uint64_t bh_run_load(struct bh_run *run, uint64_t address, uint32_t size)
{
	struct bh_block block;
	uint64_t value = 0;

	if (run->window) {
		const char *place = bh_region_at(bh_region_of(run->here.core), address, size, BH_ZEROS);

		if (place && find(run, (uintptr_t)place, size, &block) != BH_GONE)
			memcpy(&value, place, size);
		return value;
	}
	switch (find(run, address, size, &block)) {
	case BH_THERE:
		memcpy(&value, (const void *)(uintptr_t)address, size);
		return value;
	case BH_GONE:
		return 0;
	default:
		break;
	}
	if (rest_of_own(run, address) >= size)
		memcpy(&value, (const void *)(uintptr_t)address, size);
	else
		value = bh_pages_load(run->here.core, address, size);
	return value;
}
