/*
 * bpf_mem_alloc in user space: objects of one type in slabs of their own, free ones in caches by
 * CPU and level of context. No object has a header: its address leads to its slab, and so to its
 * unit, type and heap.
 *
 * After kernel/bpf/memalloc.c of Linux 6.18, which keeps free objects in lists, guards them by
 * a counter of nesting contexts, and refills by irq_work. Here each level of nesting has a cache of
 * its own, so the fast path needs no guard; and a cache is an array, of which the top is compared with
 * the watermarks, and is the count that statistics need.
 *
 * The files, each above those before it: batch, slab, grace, cache, unit, and this.
 */
#ifndef BPFHEAP_HEAP_H
#define BPFHEAP_HEAP_H

#include "cache.h"
#include "grace.h"
#include "unit.h"

/* All units of one owner: an allocator map, or the allocator behind bpf_obj_new. */
struct bh_heap *bh_heap_create(struct bh_core *core, struct bh_limits limits);
/* No allocations from here on. The worker drains caches and returns empty slabs, after grace periods:
 * nobody waits here, bh_barrier does. Objects that live stay, and may be freed. */
void bh_heap_close(struct bh_heap *heap);
/* Let the worker return everything, whatever lives. Nobody may free its objects any more. */
void bh_heap_destroy(struct bh_heap *heap);
struct bh_stats bh_heap_stats(struct bh_heap *heap);

#endif
