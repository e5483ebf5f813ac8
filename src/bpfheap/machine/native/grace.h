/* Objects and slabs that wait for a grace period. */
#ifndef BPFHEAP_GRACE_H
#define BPFHEAP_GRACE_H

#include "cpu.h"
#include "slab.h"

/* Free once all runs that are now going on have ended; from any context. */
void bh_free_rcu(void *object);

/* -- for the files of the heap */

/* What the worker does before and after a grace period with objects of bh_free_rcu and empty slabs. */
void bh_unit_collect(struct bh_work *work);
void bh_unit_reclaim(struct bh_work *work);
/* Free an object of a closed heap, of which the caches are drained or are about to be. */
void bh_free_closed(struct bh_unit *unit, void *object);
/* Let a slab of a closed heap go, once a grace period has passed, if nothing in it lives. */
void bh_slab_remove_if_empty(struct bh_unit *unit, struct bh_slab *slab);

#endif
