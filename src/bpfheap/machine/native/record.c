/* Records of runs: what of them programs reach on a hardened core, budgets, and loads that may lead anywhere. */
#include "memory.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

struct bh_run *bh_run_create(struct bh_core *core, uint64_t *random)
{
	size_t size = (sizeof(struct bh_run) + BH_LINE - 1) / BH_LINE * BH_LINE;
	struct bh_run *run = aligned_alloc(BH_LINE, size);
	char *window;

	if (!run)
		return NULL;
	/* All pages are there before the first signal. */
	memset(run, 0, size);
	run->random = random;
	run->stack = run->own_stack;
	if (!bh_is_hardened(core))
		return run;
	window = bh_memory_map(core, BH_WINDOW, BH_GRANULE, BH_TAKEN);
	if (!window) {
		free(run);
		return NULL;
	}
	run->window = (void *)(window - bh_shadow(core));
	run->stack = run->window->stack;
	run->region = bh_region_of(core)->base;
	return run;
}

void bh_run_destroy(struct bh_core *core, struct bh_run *run)
{
	if (run && run->window)
		bh_memory_unmap(core, (char *)run->window + bh_shadow(core), BH_WINDOW);
	free(run);
}

void *bh_run_room(struct bh_run *run, void *own, uint64_t size)
{
	if (!run->window)
		return own;
	return size <= BH_WINDOW - offsetof(struct bh_window, ctx) ? run->window->ctx : NULL;
}

/* Does memory that begins at `base` have those bytes? */
static bool has(const void *base, uint64_t length, uint64_t address, uint32_t size)
{
	uint64_t at = address - (uintptr_t)base;

	return at < length && length - at >= size;
}

__attribute__((no_sanitize("thread"))) uint64_t bh_run_load(struct bh_run *run, uint64_t address, uint32_t size)
{
	/* Where one instruction reads memory on one path and an object on another, it may be any of them. */
	const char *frames = __builtin_frame_address(0);
	uint64_t value = 0;

	if (run->window) {
		const char *place = bh_region_at(bh_region_of(run->here.core), address, size, BH_ZEROS);

		if (place)
			memcpy(&value, place, size);
		return value;
	}
	if (has(run->stack, sizeof(run->own_stack), address, size) ||
	    has(run->packet.page, run->packet.page ? BH_PACKET : 0, address, size) ||
	    (run->prog->code && has(frames, run->machine_stack - (uintptr_t)frames, address, size)))
		memcpy(&value, (const void *)(uintptr_t)address, size);
	else
		value = bh_pages_load(run->here.core, address, size);
	return value;
}

bool bh_run_count(struct bh_run *run, uint64_t rounds)
{
	run->budget -= (int64_t)rounds;
	if (BH_UNLIKELY(run->here.tired)) {
		run->stop = BH_PAUSE;
		return false;
	}
	while (BH_UNLIKELY(run->budget < 0)) {
		int64_t debt = run->budget; /* negative: what was added pays for it */

		if (!run->refill || !run->refill(run)) {
			run->stop = BH_PAUSE;
			return false;
		}
		run->budget += debt;
	}
	return true;
}
