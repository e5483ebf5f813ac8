#include "frame.h"

bool bh_run_push(struct bh_run *run, const struct bh_frame *frame)
{
	struct bh_frame *pushed = &run->frame[run->depth];

	if (run->depth + 1 == BH_FRAMES) {
		run->stop = BH_TOO_DEEP;
		return false;
	}
	*pushed = *frame;
	memcpy(pushed->saved, run->r + 6, sizeof(pushed->saved));
	pushed->prog = run->prog;
	pushed->goes = run->goes;
	pushed->base = run->base;
	run->goes = 0;
	run->depth++;
	run->r[10] = (uintptr_t)bh_run_top(run);
	return true;
}

bool bh_run_enter(struct bh_run *run, const struct bh_frame *frame)
{
	if (!bh_run_push(run, frame))
		return false;
	run->callback = true;
	run->slot = frame->callback;
	return true;
}

/* A call that made callbacks has ended: on behind it. */
static void finish(struct bh_run *run, const struct bh_frame *frame, uint64_t r0)
{
	run->callback = true;
	run->r[0] = r0;
	run->slot = frame->slot + 1;
}

bool bh_run_again(struct bh_run *run, struct bh_frame *frame, bool stop)
{
	uint64_t *r = run->r;

	if (!bh_run_step(run)) {
		run->stop = BH_PAUSE;
		return false;
	}
	switch (frame->after) {
	case BH_LOOP:
		if (stop || frame->round == frame->limit)
			break;
		r[1] = frame->round++;
		r[2] = frame->ctx;
		return bh_run_enter(run, frame);
	case BH_EACH:
		if (stop || !bh_map_walk(frame->map, &frame->walk))
			break;
		frame->round++;
		if (!bh_run_enter(run, frame))
			return false;
		/*
		 * An array's key is `index` of the walk. The frame has been copied since, so the key is in
		 * the copy.
		 */
		if (frame->walk.key == &frame->walk.index) {
			uint32_t *key = run->window ? &run->window->key[run->depth - 1] :
						      &run->frame[run->depth - 1].walk.index;

			*key = frame->walk.index;
			run->frame[run->depth - 1].walk.key = key;
		}
		r[1] = (uintptr_t)frame->map;
		r[2] = (uintptr_t)run->frame[run->depth - 1].walk.key;
		r[3] = (uintptr_t)frame->walk.value +
		       (frame->map->spec.per_cpu ? (uint64_t)run->here.cpu * frame->map->stride : 0);
		r[4] = frame->ctx;
		return true;
	case BH_LESS:
		if (frame->round) {
			struct bh_rb_node *next = bh_rb_node_at(
				run->here.core, stop ? &frame->at->left : &frame->at->right);

			if (!next) {
				bh_rb_insert(run->here.core, frame->root, frame->node, frame->at,
					     stop);
				break;
			}
			frame->at = next;
		}
		frame->round = 1;
		r[1] = (uintptr_t)frame->node;
		r[2] = (uintptr_t)frame->at;
		return bh_run_enter(run, frame);
	default:
		break;
	}
	finish(run, frame, frame->after == BH_LESS ? 0 : frame->round);
	return false;
}

void bh_run_throw(struct bh_run *run, uint64_t cookie)
{
	run->callback = true;
	run->depth = run->base;
	run->goes = 0;
	run->r[10] = (uintptr_t)bh_run_top(run);
	run->r[0] = run->r[1] = cookie;
	run->slot = run->prog->exception ? run->prog->exception : BH_LEAVE;
}

bool bh_run_leave(struct bh_run *run)
{
	struct bh_frame frame;

	if (!run->depth)
		return false;
	frame = run->frame[--run->depth];
	memcpy(run->r + 6, frame.saved, sizeof(frame.saved));
	run->r[10] = (uintptr_t)(run->stack[run->depth] + BH_STACK);
	run->prog = frame.prog;
	run->goes = frame.goes;
	run->base = frame.base;
	run->slot = frame.slot + 1;
	if (frame.after != BH_RETURN) {
		bh_run_again(run, &frame, run->r[0] != 0);
		run->callback = false;
	}
	return true;
}
