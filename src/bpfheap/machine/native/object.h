/*
 * Objects of types that own others: kptrs, lists, trees, counts of owners (kernel/bpf/helpers.c).
 * Their memory is a unit's; a unit's type tells what is where.
 *
 * On a hardened core, programs may have written anything into objects and values: pointers that are read
 * there are followed if they lead to what programs may write, or, where an object has to be, to one that
 * lives. Loops over them end: trees are no deeper than BH_DEEPEST, and what is dropped has to be somebody's,
 * once each, and BH_STEPS of it at most.
 */
#ifndef BPFHEAP_OBJECT_H
#define BPFHEAP_OBJECT_H

#include "heap.h"
#include "world.h"

enum bh_kind {
	BH_KPTR,
	BH_LOCK,
	BH_LIST_HEAD,
	BH_LIST_NODE,
	BH_RB_ROOT,
	BH_RB_NODE,
	BH_REFCOUNT,
	BH_OTHER, /* no program that runs here can have anything in it */
	BH_KINDS,
};

struct bh_field {
	uint32_t kind;
	uint32_t offset;
	uint32_t size;
	uint32_t node; /* of a head or root: where the node is in what it holds */
};

struct bh_events;

/* Of objects, or of a map's values. */
struct bh_type {
	uint32_t size;	 /* of one copy */
	uint32_t copies; /* 1, or one for each CPU; each begins at a multiple of 8 */
	uint32_t owner;	 /* for events and for people: the id of the allocator */
	uint32_t id;
	int32_t lock;	  /* offsets, -1 for none */
	int32_t refcount;
	struct bh_events *events; /* NULL: nobody watches */
	uint32_t fields;
	struct bh_field field[];
};

/* What became of objects, for those who watch. */
struct bh_event {
	uint32_t owner, type, cpu;
	int32_t program; /* whose call it was; -1 for what went along with others */
	bool freed;
};

enum { BH_EVENTS = 1 << 14 };

struct bh_events {
	_Atomic uint32_t count; /* may count more than there is room for */
	struct bh_event event[BH_EVENTS];
};

enum {
	BH_STEPS = 1 << 24,
	BH_DEEPEST = 1 << 12, /* more levels than any tree has, unless a program made it up */
};

/* Kptrs may lead to objects of the kernel around programs, too, which are no unit's. */
static inline bool bh_is_block(const struct bh_core *core, const void *object)
{
	return BH_UNLIKELY(bh_world_has(core, (uintptr_t)object));
}

/* What begins there, as far as a hardened core knows; what a program names is an object on other ones, unless
 * it is the kernel's. */
static inline uint32_t bh_life_at(const struct bh_core *core, const void *object)
{
	const struct bh_region *region = bh_region_of(core);

	if (!bh_is_hardened(core))
		return bh_is_block(core, object) ? BH_NOTHING : BH_LIVE;
	if ((uintptr_t)object - (uintptr_t)region->base >= BH_REGION || (uintptr_t)object % 8)
		return BH_NOTHING;
	return atomic_load_explicit(bh_region_life(region, object), memory_order_acquire);
}

static inline bool bh_is_object(const struct bh_core *core, const void *object)
{
	return bh_life_at(core, object) >= BH_LIVE;
}

/* Of an object that lives as long as whoever asks is in a run; of others NULL if its slab is gone. */
static inline struct bh_type *bh_type_of(const struct bh_core *core, const void *object)
{
	const struct bh_unit *unit = bh_unit_of((const char *)object + bh_shadow(core));

	return unit ? bh_unit_type(unit) : NULL;
}

/* The object of which a byte is at `inside`; on a hardened core NULL if there is none. */
void *bh_object_at(const struct bh_core *core, void *inside);

static inline uint32_t bh_stride(const struct bh_type *type)
{
	return (type->size + 7) & ~7u;
}

/* Zeros, with one owner; NULL if there is no memory. */
void *bh_object_new(struct bh_here *here, struct bh_unit *unit, int32_t program);
/* One owner less. The last one takes along all that the object holds. */
void bh_object_drop(struct bh_here *here, void *object, int32_t program);
/* One owner more, unless there is none. */
bool bh_object_acquire(void *object, const struct bh_type *type);
/* Drop what a value, of which the type is given, holds. */
void bh_drop_fields(struct bh_here *here, const struct bh_type *type, void *value);

/* Locks of values: a word, 0 if it is free. bh_lock waits, as patiently as the run at `here`: false if
 * that came to an end first. */
bool bh_try_lock(void *word);
bool bh_lock(struct bh_here *here, void *word);
void bh_unlock(void *word);

/* Nodes in lists: false if the node is in one already. Whoever calls has the lock. */
struct bh_list_node {
	struct bh_list_node *next, *prev;
	_Atomic(void *) owner;
};
struct bh_list_head {
	struct bh_list_node *first, *last;
};
bool bh_list_push(const struct bh_core *core, struct bh_list_head *head, struct bh_list_node *node,
		  bool front);
struct bh_list_node *bh_list_pop(const struct bh_core *core, struct bh_list_head *head, bool front);

/* The same in trees; whoever adds has found the place below `parent`. */
struct bh_rb_node {
	struct bh_rb_node *left, *right, *parent;
	_Atomic(void *) owner;
};
struct bh_rb_root {
	struct bh_rb_node *node;
	void *reserved;
};
bool bh_rb_reserve(struct bh_rb_root *root, struct bh_rb_node *node);
void bh_rb_insert(const struct bh_core *core, struct bh_rb_root *root, struct bh_rb_node *node,
		  struct bh_rb_node *parent, bool left);
void bh_rb_remove(const struct bh_core *core, struct bh_rb_root *root, struct bh_rb_node *node);
struct bh_rb_node *bh_rb_first(const struct bh_core *core, const struct bh_rb_root *root);
/* The node that is read at `link`. */
struct bh_rb_node *bh_rb_node_at(const struct bh_core *core, struct bh_rb_node *const *link);

#endif
