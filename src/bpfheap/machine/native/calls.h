/* Calls of programs: helpers and kfuncs. */
#ifndef BPFHEAP_CALLS_H
#define BPFHEAP_CALLS_H

#include "record.h"

typedef uint64_t (*bh_call)(struct bh_run *run, const uint64_t *r);
/* Those of bh_call_names, and one more, which refuses: bh_call_unknown. */
extern const bh_call bh_calls[];
extern const uint16_t bh_call_unknown;
/* And one behind it: what Python performs, which looks at the arguments itself. */
extern const uint16_t bh_call_asked;
extern const char *const bh_call_names[];

/* -- for compiled programs */

/* The program that a tail call goes to, NULL if there is none. */
struct bh_prog *bh_tail(struct bh_run *run, struct bh_map *map, uint64_t index);
/* A node that is in a list or tree already cannot go into one: what the call gives. */
uint64_t bh_call_refuse(struct bh_run *run, uint64_t node);

#endif
