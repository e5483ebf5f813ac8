/*
 * What maps of all shapes share: what a map is, and its values. Arrays, hashes, LRU maps and rings have a file
 * each.
 *
 * A function of these is what bh_map_* of the same name does for maps of the shape; map.c has checked the flags.
 * `create` is called once, by bh_map_create, when `spec`, `stride` and `span` are set: 0, or a negative errno.
 */
#ifndef BPFHEAP_VALUE_H
#define BPFHEAP_VALUE_H

#include <string.h>

#include "object.h"

enum bh_shape {
	BH_HASH,
	BH_LRU,
	BH_ARRAY,
	BH_RING,
	BH_NONE, /* an allocator */
	BH_TRIE,
	BH_PLAYED, /* Python has the elements, and performs what programs do with them */
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
	bool waits;		/* elements are used again after a grace period, not at once */
	struct bh_type *type;	/* of values; NULL if they own nothing */
	struct bh_heap *heap;	/* of elements; NULL for one of the map's own */
	struct bh_heap *allocates; /* an allocator's */
};

struct bh_elem;
struct bh_queue;

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
	uint32_t kept; /* bytes of a key: a trie has each as it is looked for, and as it was given */
	int64_t value_at; /* offset in an element, whose values may lie where programs reach: see region.h */
	_Atomic uint32_t count BH_ALIGNED(BH_LINE);
	struct bh_queue *queue; /* of elements, if they go when they are not used: see lru_queue.h */
	/* trie: a bit for each length of a prefix that it ever had */
	_Atomic uint64_t *lengths;
	/* ring: positions only grow */
	_Atomic uint64_t produced BH_ALIGNED(BH_LINE);
	_Atomic uint64_t consumed;
};

/*
 * A walk over all elements. One that is deleted meanwhile, and one that comes, may be left out or
 * seen; those that stay are seen.
 */
struct bh_walk {
	uint32_t bucket;
	uint32_t behind; /* how many elements of the bucket come after this one */
	struct bh_elem *next;
	uint32_t index; /* of an array's element, which is its key */
	const void *key;
	void *value;
};

/* Programs read and write values while others do: what they see then is their own affair. */
#define RACY __attribute__((no_sanitize("thread")))

/* How many values an element has: one, or one for each CPU. */
static inline uint32_t bh_map_copies(const struct bh_map *map)
{
	return map->spec.per_cpu ? bh_core_cpus(map->core) : 1;
}

/* The word of a value's bpf_spin_lock, NULL if it has none. */
static inline char *bh_map_value_lock(const struct bh_map *map, char *value)
{
	return map->spec.type && map->spec.type->lock >= 0 ? value + map->spec.type->lock : NULL;
}

RACY static inline void bh_map_copy_bytes(char *to, const char *from, uint32_t size)
{
	for (; size >= 8; size -= 8, to += 8, from += 8)
		memcpy(to, from, 8);
	for (; size; size--)
		*to++ = *from++;
}

/* One value, but for kptrs, locks and nodes, which stay. */
static inline void bh_map_copy_value(const struct bh_map *map, char *to, const char *from)
{
	for (uint32_t i = 0; i < map->spans; i++)
		bh_map_copy_bytes(to + map->span[i].offset, from + map->span[i].offset, map->span[i].size);
}

/* Drop what an element's values hold. */
static inline void bh_map_drop_fields(struct bh_map *map, struct bh_here *here, char *value)
{
	const struct bh_type *type = map->spec.type;

	if (type)
		for (uint32_t cpu = 0; cpu < bh_map_copies(map); cpu++)
			bh_drop_fields(here, type, value + (size_t)cpu * map->stride);
}

/* Set `span`: 0, or -ENOMEM. */
int bh_map_find_spans(struct bh_map *map);
/* bh_map_copy_value with the value's lock held: 0, or -EBUSY if a patience that ended came first. */
int bh_map_copy_locked(const struct bh_map *map, struct bh_here *here, char *to, const char *from);
/* Change a value where it is: that of one CPU, or all for -1. What it held is dropped. */
void bh_map_overwrite(struct bh_map *map, struct bh_here *here, char *value, const char *from, int cpu);

#endif
