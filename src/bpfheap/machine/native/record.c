/* Records of runs: what of them programs reach on a hardened core, and budgets. */
#include "memory.h"
#include "record.h"

#include <errno.h>
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

/*
 * Python cannot be called from a signal's handler. There the call fails as printing does in Linux when all
 * buffers are in use (bpf_try_get_buffers).
 */
uint64_t bh_run_ask(struct bh_run *run)
{
	if (run->in_signal)
		return (uint64_t)(int64_t)-EBUSY;
	if (run->ask && !run->stepping) {
		uint64_t r0 = run->ask(run);

		/* What was copied meanwhile is paid for here: compiled code looks at its next jump back first. */
		if (BH_UNLIKELY(run->budget < 0) && run->window && run->stop == BH_GOING)
			bh_run_count(run, 0);
		return r0;
	}
	run->stop = BH_OUTSIDE;
	return 0;
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
