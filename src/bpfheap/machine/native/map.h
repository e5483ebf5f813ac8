/*
 * Maps over the allocator (kernel/bpf/hashtab.c, arraymap.c, ringbuf.c of Linux 6.18).
 *
 * Elements of hash maps come from a unit of the map's own and are reused at once, as Linux does it
 * since 6.1: their memory stays an element of this map, chains end in a marker that tells their
 * bucket, and a lookup that ends in another bucket starts over.
 */
#ifndef BPFHEAP_MAP_H
#define BPFHEAP_MAP_H

#include "object.h"

enum bh_shape {
	BH_HASH,
	BH_LRU,
	BH_ARRAY,
	BH_RING,
	BH_NONE, /* an allocator */
};

enum { BH_ANY = 0, BH_NOEXIST = 1, BH_EXIST = 2, BH_F_LOCK = 4 };

struct bh_map_spec {
	uint32_t id;
	enum bh_shape shape;
	uint32_t key_size, value_size, max_entries;
	bool per_cpu;
	bool pointers;		/* values are 8 bytes, of which 0 means that there is none */
	bool preallocated;	/* all elements at once */
	bool readonly;		/* for programs */
	bool programs;		/* its pointers lead to programs */
	struct bh_type *type;	/* of values; NULL if they own nothing */
	struct bh_heap *heap;	/* of elements; NULL for one of the map's own */
	struct bh_heap *allocates; /* an allocator's */
};

/* The first two words are the allocator's while the element is free: a lookup that is still there
 * needs `next`, and what it compares is the key. */
struct bh_elem {
	uint32_t hash;
	uint32_t place;	       /* in the queue of an LRU map */
	_Atomic uint32_t seen; /* there: looked up meanwhile */
	uint32_t unused;
	_Atomic(struct bh_elem *) next;
	char key[];
};

/* Of hashes: see map_private.h. */
#define BH_HASH_WORD 0x9e3779b97f4a7c15u
#define BH_HASH_LAST 0xd6e8feb86659fd93u

/* Of a record's header: its length, and these. */
enum {
	BH_RING_HEADER = 8,
	BH_RING_BUSY = 1u << 31,    /* BPF_RINGBUF_BUSY_BIT */
	BH_RING_DISCARD = 1u << 30, /* BPF_RINGBUF_DISCARD_BIT */
	BH_RING_DONE = 1u << 29,    /* a length may be 0 */
};

struct bh_queue;

struct bh_bucket {
	_Atomic(struct bh_elem *) first;
	uint32_t lock;
};

/* What an update copies: all between kptrs, locks and nodes. */
struct bh_span {
	uint32_t offset, size;
};

struct bh_map {
	struct bh_map_spec spec;
	struct bh_core *core;
	uint32_t stride; /* of one CPU's value, and that of an array's element */
	uint32_t spans;
	struct bh_span *span;
	size_t bytes; /* that are mapped at `memory` */
	char *memory; /* values, buckets, or a ring's records */
	/* hash */
	struct bh_heap *heap;
	struct bh_unit *unit;
	bool plain_words; /* keys have 4 bytes, and lookups give values: the shortest way */
	uint64_t seed;
	uint32_t mask;
	int64_t value_at; /* offset in an element, whose values may lie where programs reach: see region.h */
	_Atomic uint32_t count BH_ALIGNED(BH_LINE);
	struct bh_queue *queue; /* of elements, if they go when they are not used: see lru.c */
	/* ring: positions only grow */
	_Atomic uint64_t produced BH_ALIGNED(BH_LINE);
	_Atomic uint64_t consumed;
};

/* NULL without memory. */
struct bh_map *bh_map_create(struct bh_core *core, const struct bh_map_spec *spec);
/* No program sees it any more: drop what its values hold, and give elements of another's heap back. */
void bh_map_empty(struct bh_map *map, struct bh_here *here);
/* And its memory; that of elements goes when the worker comes to it. */
void bh_map_destroy(struct bh_map *map);
/* Programs cannot name it any more; those that run may have done so before. */
void bh_map_forget(struct bh_map *map);

/* The value; of a per-CPU map, that of the first CPU. NULL if there is none. */
void *bh_map_lookup(struct bh_map *map, const void *key);
/* The same for user space, which uses no element of an LRU map by looking at it. */
void *bh_map_peek(struct bh_map *map, const void *key);

/*
 * 0, or a negative errno. `cpu`: the value is that CPU's, and the other ones stay, or are zeros; -1:
 * they are all there, each at a multiple of 8. What the old value holds is dropped.
 */
int bh_map_update(struct bh_map *map, struct bh_here *here, const void *key, const void *value,
		  uint64_t flags, int cpu);
int bh_map_delete(struct bh_map *map, struct bh_here *here, const void *key);
uint32_t bh_map_count(const struct bh_map *map);

enum { BH_LOOK = 64 }; /* buckets of a walk that are a step of a budget */

/*
 * A walk over all elements. One that is deleted meanwhile, and one that comes, may be left out or
 * seen; those that stay are seen. False at the end.
 */
struct bh_walk {
	uint32_t bucket;
	uint32_t behind; /* how many elements of the bucket come after this one */
	struct bh_elem *next;
	uint32_t index; /* of an array's element, which is its key */
	const void *key;
	void *value;
};
bool bh_map_walk(struct bh_map *map, struct bh_walk *walk);

/* A record of `size` bytes, or NULL: what is reserved is neither read nor passed by. */
void *bh_ring_reserve(struct bh_map *map, uint64_t size);
void bh_ring_finish(void *record, bool submit);
uint64_t bh_ring_unread(const struct bh_map *map);
/* The oldest record that is finished: its size, or -1 if there is none. `consume` goes past it. */
int64_t bh_ring_peek(struct bh_map *map, const void **data);
void bh_ring_consume(struct bh_map *map);

#endif
