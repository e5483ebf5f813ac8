/* Frames of runs: functions and callbacks, and what comes after them. */
#ifndef BPFHEAP_FRAME_H
#define BPFHEAP_FRAME_H

#include <string.h>

#include "record.h"

/* Of the budget. False if there is no more. */
static inline bool bh_run_step(struct bh_run *run)
{
	return BH_LIKELY(--run->budget >= 0) || bh_run_count(run, 0);
}

/* The stack of the current frame, cleared: its end, for r10. */
static inline char *bh_run_top(struct bh_run *run)
{
	memset(run->stack[run->depth], 0, BH_STACK);
	return run->stack[run->depth] + BH_STACK;
}

/* Call a function of the program. False, with the reason in `stop`, if there may be no more frames. */
bool bh_run_push(struct bh_run *run, const struct bh_frame *frame);
/* The same for a callback: its result decides with `frame` what comes next. */
bool bh_run_enter(struct bh_run *run, const struct bh_frame *frame);
/*
 * All functions of the current program end but its main one. Where that goes on: in the exception callback, or
 * at BH_LEAVE, which is its end.
 */
enum { BH_LEAVE = 0x7fffffff };
void bh_run_throw(struct bh_run *run, uint64_t cookie);
/* Back to the caller. False if there is none. */
bool bh_run_leave(struct bh_run *run);
/* After a round of a callback, and before the first: true if another one was entered. */
bool bh_run_again(struct bh_run *run, struct bh_frame *frame, bool stop);

#endif
