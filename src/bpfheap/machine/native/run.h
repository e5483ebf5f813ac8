/*
 * Programs, and what runs them: a plain interpreter. All of an execution's state is in a struct
 * bh_run, frames and callbacks included, so it can stop before any call and go on later.
 *
 * Programs are verified: what they do to memory is not checked again. Exceptions are loads through a
 * kptr that was only read, which may be NULL, and loads through what was loaded through one. On a hardened
 * core (region.h) nothing is taken for granted: each access is checked, and what calls are given
 * (checks.c).
 */
#ifndef BPFHEAP_RUN_H
#define BPFHEAP_RUN_H

#include "fault.h"
#include "packet.h"
#include "place.h"
#include "record.h"

extern const char *const bh_op_names[];

/* r1 to r5 are set by whoever begins. */
void bh_run_begin(struct bh_run *run, const struct bh_prog *prog, void *ctx);
/* On to the next stop, in a context that bh_enter gave `here`. */
enum bh_stop bh_run_go(struct bh_run *run);
/* From the beginning to the end, without a stop before calls. */
enum bh_stop bh_run_whole(struct bh_run *run, const struct bh_prog *prog, void *ctx, uint64_t size);
/* What the call before which it stopped with BH_OUTSIDE gives. */
void bh_run_answer(struct bh_run *run, uint64_t r0);

/* -- for compiled programs */

/* Run the program that a tail call goes to, to its end. */
uint64_t bh_run_tail(struct bh_run *run, struct bh_prog *prog);
/* A helper by its number, with arguments in run->r. */
uint64_t bh_call_by_number(struct bh_run *run, uint64_t number);

#endif
