/* What calls are given on a hardened core: nobody verified it, or the verifier may be wrong. */
#include "calls.h"
#include "checks.h"
#include "world.h"

static void *place(const struct bh_run *run, uint64_t address, uint64_t size, enum bh_granule least)
{
	return bh_region_at(bh_region_of(run->here.core), address, size, least);
}

static bool is_map(const struct bh_run *run, uint64_t value, enum bh_arg_kind kind)
{
	const struct bh_map *map = (void *)(uintptr_t)value;

	if (!bh_handle_known(bh_region_of(run->here.core), value))
		return false;
	switch (kind) {
	case BH_ARG_VALUES:
		return !map->spec.pointers;
	case BH_ARG_RING:
		return map->spec.shape == BH_RING;
	case BH_ARG_PROGRAMS:
		return map->spec.programs;
	default:
		return true;
	}
}

/* The argument as the call may take it; false if it may not. */
static bool check(struct bh_run *run, struct bh_arg arg, uint64_t *r, unsigned n)
{
	uint64_t size = arg.size;
	enum bh_granule least = BH_VACANT;
	const struct bh_map *map;
	const struct bh_type *type;
	void *found;

	switch ((enum bh_arg_kind)arg.kind) {
	case BH_ARG_ANY:
		return true;
	case BH_ARG_MAP:
	case BH_ARG_VALUES:
	case BH_ARG_RING:
	case BH_ARG_PROGRAMS:
		return is_map(run, r[n], (enum bh_arg_kind)arg.kind);
	case BH_ARG_KEY:
	case BH_ARG_VALUE:
		map = (void *)(uintptr_t)r[1];
		size = arg.kind == BH_ARG_KEY ? map->spec.key_size : map->spec.value_size;
		least = BH_ZEROS;
		break;
	case BH_ARG_READ:
	case BH_ARG_OR_NULL:
		if (arg.kind == BH_ARG_OR_NULL && !r[n])
			return true;
		least = BH_ZEROS;
		size = r[n + 1];
		break;
	case BH_ARG_WRITE:
		size = r[n + 1];
		break;
	case BH_ARG_PLACE:
		if (r[n] % (size < 8 ? size : 8))
			return false;
		break;
	case BH_ARG_RECORD:
		r[n] = bh_ring_record_at(run->here.core, r[n]);
		return r[n] != 0;
	case BH_ARG_COPIES:
		if (bh_world_copy_of(run->here.core, r[n], 0, &size))
			return true;
		return bh_is_object(run->here.core, (void *)(uintptr_t)r[n]);
	case BH_ARG_OBJECT:
		return bh_is_object(run->here.core, (void *)(uintptr_t)r[n]);
	case BH_ARG_COUNTED:
		found = (void *)(uintptr_t)r[n];
		/* One that is dead keeps nobody from giving its slab back. */
		type = bh_life_at(run->here.core, found) != BH_NOTHING ?
			       bh_type_of(run->here.core, found) : NULL;
		return type && type->refcount >= 0;
	case BH_ARG_CODE:
		return (uint32_t)r[n] < run->prog->length;
	}
	found = place(run, r[n], size, least);
	r[n] = (uintptr_t)found;
	if (!found)
		return false;
	/* To copy gigabytes takes its time. */
	run->budget -= (int64_t)(size / BH_COPIED);
	return true;
}

uint64_t bh_call_checked(struct bh_run *run, uint64_t number)
{
	const struct bh_arg *arg = run->prog->arg + number * BH_ARGS;
	uint64_t given;

	for (unsigned n = 1; n <= BH_ARGS && number < bh_call_unknown; n++) {
		given = run->r[n];
		if (BH_LIKELY(check(run, arg[n - 1], run->r, n)))
			continue;
		run->fault = given;
		run->pc = 0;
		run->stop = BH_FAULT;
		return 0;
	}
	if (BH_UNLIKELY(run->budget < 0) && !bh_run_count(run, 0))
		return 0;
	given = bh_calls[number](run, run->r);
	if (BH_UNLIKELY(run->here.tired) && run->stop == BH_GOING)
		run->stop = BH_PAUSE;
	return given;
}
