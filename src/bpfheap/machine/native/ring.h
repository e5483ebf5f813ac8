/* Maps that are ring buffers. */
#ifndef BPFHEAP_RING_H
#define BPFHEAP_RING_H

#include "value.h"

/* Of a record's header: its length, and these. */
enum {
	BH_RING_HEADER = 8,
	BH_RING_BUSY = 1u << 31,    /* BPF_RINGBUF_BUSY_BIT */
	BH_RING_DISCARD = 1u << 30, /* BPF_RINGBUF_DISCARD_BIT */
	BH_RING_DONE = 1u << 29,    /* a length may be 0 */
};

int bh_ring_create(struct bh_map *map);
/* A record of `size` bytes, or NULL: what is reserved is neither read nor passed by. */
void *bh_ring_reserve(struct bh_map *map, uint64_t size);
void bh_ring_finish(void *record, bool submit);
/* Where a record may begin that a hardened program gives, as the core reaches it; 0 if there can be none. */
uint64_t bh_ring_record_at(const struct bh_core *core, uint64_t address);
uint64_t bh_ring_unread(const struct bh_map *map);
/* The oldest record that is finished: its size, or -1 if there is none. `consume` goes past it. */
int64_t bh_ring_peek(struct bh_map *map, const void **data);
void bh_ring_consume(struct bh_map *map);

#endif
