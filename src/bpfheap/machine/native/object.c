#define _GNU_SOURCE
#include "object.h"

#include <sched.h>
#include <string.h>
#include <time.h>

/* -- locks */

bool bh_try_lock(void *word)
{
	uint32_t none = 0;

	return atomic_compare_exchange_strong_explicit((_Atomic uint32_t *)word, &none, 1,
						       memory_order_acquire, memory_order_relaxed);
}

enum {
	YIELD_EVERY = 64, /* tries for a lock */
	LOOK_EVERY = 1024,
	LONGEST = 1, /* seconds */
};

/* A program of a hardened core may have made up the word: nobody waits for that for long. */
static bool is_tired(struct bh_here *here, struct timespec *since)
{
	struct timespec now;

	if (!bh_is_hardened(here->core))
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!since->tv_sec)
		*since = now;
	here->tired |= now.tv_sec - since->tv_sec > LONGEST;
	return here->tired;
}

bool bh_lock(struct bh_here *here, void *word)
{
	struct timespec since = { 0 };

	for (unsigned tries = 1; !bh_try_lock(word); tries++) {
		if (tries % YIELD_EVERY == 0)
			sched_yield();
		if (tries % LOOK_EVERY == 0 &&
		    (is_tired(here, &since) || (here->patience && !here->patience(here))))
			return false;
	}
	return true;
}

void bh_unlock(void *word)
{
	atomic_store_explicit((_Atomic uint32_t *)word, 0, memory_order_release);
}

/* -- lists */

/*
 * False if the node is in a list or tree already. This has to be atomic: an object with several owners may
 * be in a list of which another context holds the lock.
 */
static bool claim(_Atomic(void *) *owner, void *head)
{
	void *none = NULL;

	return atomic_compare_exchange_strong(owner, &none, head);
}

/*
 * What a pointer leads to that is read where programs write: on a hardened core NULL unless programs may
 * write `size` bytes there, too. Read once, since somebody may change it meanwhile.
 */
static inline void *follow(const struct bh_core *core, void *const volatile *at, size_t size)
{
	void *to = *at;

	if (!bh_is_hardened(core) || !to)
		return to;
	if ((uintptr_t)to % sizeof(void *))
		return NULL;
	return bh_region_at(bh_region_of(core), (uintptr_t)to, size, BH_VACANT);
}

#define LIST(core, at) \
	((struct bh_list_node *)follow(core, (void **)(at), sizeof(struct bh_list_node)))
#define TREE(core, at) ((struct bh_rb_node *)follow(core, (void **)(at), sizeof(struct bh_rb_node)))

/* Is a loop over what programs may have written to go on? */
static inline bool goes_on(const struct bh_core *core, unsigned *steps)
{
	return !bh_is_hardened(core) || ++*steps < BH_STEPS;
}

/* And one down a tree, or up? */
static inline bool goes_deeper(const struct bh_core *core, unsigned *steps)
{
	return !bh_is_hardened(core) || ++*steps < BH_DEEPEST;
}

/* False if a program made up that the node is in a list or tree. Lists may lead round to where they began. */
static inline bool disown(const struct bh_core *core, _Atomic(void *) *owner)
{
	return atomic_exchange(owner, NULL) || !bh_is_hardened(core);
}

bool bh_list_push(const struct bh_core *core, struct bh_list_head *head, struct bh_list_node *node,
		  bool front)
{
	struct bh_list_node *next = front ? LIST(core, &head->first) : NULL;
	struct bh_list_node *prev = front ? NULL : LIST(core, &head->last);

	if (!claim(&node->owner, head))
		return false;
	node->next = next;
	node->prev = prev;
	*(next ? &next->prev : &head->last) = node;
	*(prev ? &prev->next : &head->first) = node;
	return true;
}

struct bh_list_node *bh_list_pop(const struct bh_core *core, struct bh_list_head *head, bool front)
{
	struct bh_list_node *node = LIST(core, front ? &head->first : &head->last), *next, *prev;

	if (!node)
		return NULL;
	next = LIST(core, &node->next);
	prev = LIST(core, &node->prev);
	*(next ? &next->prev : &head->last) = prev;
	*(prev ? &prev->next : &head->first) = next;
	return disown(core, &node->owner) ? node : NULL;
}

/* -- trees: treaps. A node's priority is a hash of its address, so it takes no memory. */

static uint64_t priority(const struct bh_rb_node *node)
{
	return ((uintptr_t)node >> 4) * 0x9e3779b97f4a7c15u;
}

struct bh_rb_node *bh_rb_node_at(const struct bh_core *core, struct bh_rb_node *const *link)
{
	return TREE(core, link);
}

static struct bh_rb_node **link_to(const struct bh_core *core, struct bh_rb_root *root,
				   struct bh_rb_node *node)
{
	struct bh_rb_node *parent = TREE(core, &node->parent);

	return !parent ? &root->node : parent->left == node ? &parent->left : &parent->right;
}

/* Rotate a node into its parent's place; the order of the nodes stays as it is. */
static void rotate_up(const struct bh_core *core, struct bh_rb_root *root, struct bh_rb_node *node,
		      struct bh_rb_node *parent)
{
	struct bh_rb_node *middle;

	*link_to(core, root, parent) = node;
	if (parent->left == node) {
		middle = parent->left = TREE(core, &node->right);
		node->right = parent;
	} else {
		middle = parent->right = TREE(core, &node->left);
		node->left = parent;
	}
	if (middle)
		middle->parent = parent;
	node->parent = parent->parent;
	parent->parent = node;
}

bool bh_rb_reserve(struct bh_rb_root *root, struct bh_rb_node *node)
{
	return claim(&node->owner, root);
}

void bh_rb_insert(const struct bh_core *core, struct bh_rb_root *root, struct bh_rb_node *node,
		  struct bh_rb_node *parent, bool left)
{
	unsigned steps = 0;

	node->left = node->right = NULL;
	node->parent = parent;
	*(!parent ? &root->node : left ? &parent->left : &parent->right) = node;
	while ((parent = TREE(core, &node->parent)) && priority(parent) < priority(node) &&
	       goes_deeper(core, &steps))
		rotate_up(core, root, node, parent);
}

void bh_rb_remove(const struct bh_core *core, struct bh_rb_root *root, struct bh_rb_node *node)
{
	struct bh_rb_node *left, *right, *child;
	unsigned steps = 0;

	while ((left = TREE(core, &node->left)) && (right = TREE(core, &node->right)) &&
	       goes_deeper(core, &steps))
		rotate_up(core, root, priority(left) > priority(right) ? left : right, node);
	child = left ? left : TREE(core, &node->right);
	*link_to(core, root, node) = child;
	if (child)
		child->parent = node->parent;
	atomic_store(&node->owner, NULL);
}

struct bh_rb_node *bh_rb_first(const struct bh_core *core, const struct bh_rb_root *root)
{
	struct bh_rb_node *node = TREE(core, &root->node), *left;
	unsigned steps = 0;

	while (node && (left = TREE(core, &node->left)) && goes_deeper(core, &steps))
		node = left;
	return node;
}

/*
 * Take some node out of a tree that is to be emptied, and that nobody else sees; NULL if it is empty. The
 * links to parents are not kept up: rotations bring a node without a left child to the root, and that one
 * is taken.
 */
static struct bh_rb_node *fell(const struct bh_core *core, struct bh_rb_root *root)
{
	struct bh_rb_node *node = TREE(core, &root->node), *left;
	unsigned steps = 0;

	if (!node)
		return NULL;
	while ((left = TREE(core, &node->left)) && goes_deeper(core, &steps)) {
		node->left = left->right;
		left->right = node;
		node = left;
	}
	root->node = node->right;
	return disown(core, &node->owner) ? node : NULL;
}

/* -- objects */

static void tell(const struct bh_type *type, const struct bh_here *here, int32_t program,
		 bool freed)
{
	uint32_t at = atomic_fetch_add(&type->events->count, 1);

	if (at < BH_EVENTS)
		type->events->event[at] = (struct bh_event){ .owner = type->owner,
							     .type = type->id,
							     .cpu = here->cpu,
							     .program = program,
							     .freed = freed };
}

void *bh_object_new(struct bh_here *here, struct bh_unit *unit, int32_t program)
{
	const struct bh_type *type = bh_unit_type(unit);
	struct bh_cache *cache = bh_cache_of(unit, here->slot);
	char *object = bh_alloc(cache);

	if (!object)
		return NULL;
	object -= bh_shadow(here->core);
	memset(object, 0, (size_t)bh_stride(type) * type->copies);
	if (type->refcount >= 0)
		*(uint32_t *)(object + type->refcount) = 1;
	if (bh_is_hardened(here->core))
		/* Whoever watches is to hear of one free, by whom it was. */
		atomic_store_explicit(bh_region_life(bh_region_of(here->core), object),
				      type->events ? bh_unit_shared_life(unit) :
						     atomic_load_explicit(&cache->life, memory_order_relaxed),
				      memory_order_release);
	if (BH_UNLIKELY(type->events))
		tell(type, here, program, false);
	return object;
}

bool bh_object_acquire(void *object, const struct bh_type *type)
{
	_Atomic uint32_t *owners = (void *)((char *)object + type->refcount);
	uint32_t seen = atomic_load(owners);

	while (seen)
		if (atomic_compare_exchange_weak(owners, &seen, seen + 1))
			return true;
	return false;
}

/* One owner less. False if there are others, or the object went with its slab. */
static bool was_last(const struct bh_core *core, char *object)
{
	const struct bh_type *type = bh_type_of(core, object);

	return type && (type->refcount < 0 ||
			atomic_fetch_sub((_Atomic uint32_t *)(object + type->refcount), 1) == 1);
}

static void *pop(const struct bh_core *core, const struct bh_field *field, void **at)
{
	char *node = field->kind == BH_LIST_HEAD ? (char *)bh_list_pop(core, (void *)at, true) :
						   (char *)fell(core, (void *)at);

	return node && bh_is_object(core, node - field->node) ? node - field->node : NULL;
}

/*
 * Take out one object that `object` owns; NULL if it owns none. Nobody else sees `object` any more. `way` is
 * then a word of `object` that is free for the way back: the kptr itself, or the second word of a list head
 * or tree root.
 */
static char *take_one(const struct bh_core *core, const struct bh_type *type, char *object, void ***way)
{
	for (uint32_t i = 0; i < type->fields; i++) {
		const struct bh_field *field = &type->field[i];
		void **at = (void **)(object + field->offset);
		void *held = NULL;

		switch (field->kind) {
		case BH_KPTR:
			held = atomic_exchange((_Atomic(void *) *)at, NULL);
			if (!bh_is_object(core, held))
				held = NULL;
			*way = at;
			break;
		case BH_LIST_HEAD:
		case BH_RB_ROOT:
			held = pop(core, field, at);
			*way = at + 1;
			break;
		}
		if (held)
			return held;
	}
	return NULL;
}

/* The word in which the way back was kept: bit 0 is set in that one alone, as pointers are aligned. NULL if a
 * program changed it. */
static void **way_back(const struct bh_type *type, char *object)
{
	for (uint32_t i = 0; i < type->fields; i++) {
		const struct bh_field *field = &type->field[i];
		void **at = (void **)(object + field->offset);

		if (field->kind == BH_LIST_HEAD || field->kind == BH_RB_ROOT)
			at++;
		else if (field->kind != BH_KPTR)
			continue;
		if ((uintptr_t)*at & 1)
			return at;
	}
	return NULL;
}

/* On a hardened core, one that lives is not any more: what it is then, or BH_NOTHING if somebody else was
 * faster. */
static enum bh_life end_life(const struct bh_here *here, char *object, bool waits)
{
	_Atomic uint32_t *life = bh_region_life(bh_region_of(here->core), object);
	struct bh_unit *unit = bh_unit_of(object + bh_shadow(here->core));
	uint32_t seen = atomic_load_explicit(life, memory_order_acquire);
	enum bh_life then = waits ? BH_DEAD : BH_APART;

	if (!unit || seen < BH_LIVE)
		return BH_NOTHING;
	if (!waits && seen == bh_unit_life(unit, here->slot)) {
		atomic_store_explicit(life, BH_FREE, memory_order_relaxed);
		return BH_FREE;
	}
	if (!waits && seen == bh_unit_shared_life(unit))
		then = BH_FREE;
	if (!atomic_compare_exchange_strong(life, &seen, then))
		return BH_NOTHING;
	if (then == BH_APART)
		bh_unit_share(unit);
	return then;
}

static void give_back(struct bh_here *here, void *object, const struct bh_type *type,
		      int32_t program)
{
	/* Programs that run now may still read these, so a grace period comes first (bpf_mem_free_rcu). */
	bool waits = type->refcount >= 0 || type->copies > 1;

	if (bh_is_hardened(here->core)) {
		enum bh_life life = end_life(here, object, waits);

		if (life == BH_NOTHING)
			return;
		waits = life != BH_FREE;
	}
	if (BH_UNLIKELY(type->events))
		tell(type, here, program, true);
	object = (char *)object + bh_shadow(here->core);
	if (waits)
		bh_free_rcu(object);
	else
		bh_free_at(here, object);
}

/*
 * Objects may own one another to any depth, and no context has the stack for a recursion. So this goes down
 * to an object that owns nothing, frees it, and goes back up. Each object on the way has the address of the
 * one above it, with bit 0 set, in a word that is free (take_one). In a list head that is `last`: nodes are
 * taken from the front, which does not read it.
 */
void bh_object_drop(struct bh_here *here, void *object, int32_t program)
{
	const struct bh_core *core = here->core;
	char *at = object, *up = NULL;
	unsigned steps = 0;

	if (!bh_is_object(core, at) || !was_last(core, at))
		return;
	while (goes_on(core, &steps)) {
		const struct bh_type *type = bh_type_of(core, at);
		void **way;
		char *held;

		if (!type)
			return;
		held = take_one(core, type, at, &way);
		if (held) {
			if (!was_last(core, held))
				continue;
			*way = (void *)((uintptr_t)up | 1);
			up = at;
			at = held;
			continue;
		}
		give_back(here, at, type, at == object ? program : -1);
		if (!up || !bh_is_object(core, up))
			return;
		at = up;
		type = bh_type_of(core, at);
		way = type ? way_back(type, at) : NULL;
		if (!way)
			return;
		up = (char *)((uintptr_t)atomic_exchange((_Atomic(void *) *)way, NULL) & ~(uintptr_t)1);
	}
}

void *bh_object_at(const struct bh_core *core, void *inside)
{
	const struct bh_region *region = bh_region_of(core);
	char *place = (char *)inside + bh_shadow(core), *object;
	const struct bh_unit *unit;

	if (bh_is_hardened(core) &&
	    region->granule[(uint32_t)(uintptr_t)inside / BH_GRANULE] != BH_SLABS)
		return NULL;
	/* Once: it may go, if a program made the address up. */
	unit = bh_unit_of(place);
	if (!unit)
		return NULL;
	object = (char *)bh_unit_object(unit, place) - bh_shadow(core);
	return bh_is_object(core, object) ? object : NULL;
}

void bh_drop_fields(struct bh_here *here, const struct bh_type *type, void *value)
{
	for (uint32_t i = 0; i < type->fields; i++) {
		const struct bh_field *field = &type->field[i];
		void *at = (char *)value + field->offset, *held;
		unsigned steps = 0;
		void *head[2];

		switch (field->kind) {
		case BH_KPTR:
			held = atomic_exchange((_Atomic(void *) *)at, NULL);
			if (held && bh_is_object(here->core, held))
				bh_object_drop(here, held, -1);
			break;
		case BH_LIST_HEAD:
		case BH_RB_ROOT:
			/*
			 * Only taking the nodes out of the value needs its lock; they are dropped without
			 * (bpf_list_head_free). If the lock cannot be had, they stay in the value, and are
			 * dropped when it is dropped or filled the next time.
			 */
			if (!bh_lock(here, (char *)value + type->lock))
				break;
			memcpy(head, at, sizeof(head));
			memset(at, 0, sizeof(head));
			bh_unlock((char *)value + type->lock);
			while ((held = pop(here->core, field, head)) && goes_on(here->core, &steps))
				bh_object_drop(here, held, -1);
			break;
		}
	}
}
