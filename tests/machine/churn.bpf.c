#include <bpfheap.h>

/* Many objects that are made and freed in one run, each kind in a way of its own. */

#define EACH 300

struct counted {
	__u64 word;
	struct bpf_refcount refs;
	struct bpf_list_node link;
	struct bpf_rb_node node;
};

struct copies {
	__u64 word;
};

struct plain {
	__u64 word;
};

struct room {
	struct bpf_spin_lock lock;
	struct bpf_list_head list __contains(counted, link);
	struct bpf_rb_root root __contains(counted, node);
};

struct counted_room {
	struct bpf_refcount refs;
	struct bpf_spin_lock lock;
	struct bpf_list_head list __contains(counted, link);
};

struct owner {
	struct bpf_refcount refs;
	struct plain __kptr *plain;
	struct copies __percpu_kptr *copies;
};

struct slot {
	struct bpf_spin_lock lock;
	struct bpf_list_head list __contains(counted, link);
	struct bpf_rb_root root __contains(counted, node);
	struct owner __kptr *owner;
	struct counted_room __kptr *room;
};

struct box {
	struct owner __kptr *owner;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

#define BOXES(name, kind)                \
	struct {                         \
		__uint(type, kind);      \
		__uint(max_entries, 4);  \
		__type(key, __u32);      \
		__type(value, struct box); \
	} name SEC(".maps")

BOXES(hash, BPF_MAP_TYPE_HASH);
BOXES(lru, BPF_MAP_TYPE_LRU_HASH);
BOXES(percpu, BPF_MAP_TYPE_PERCPU_ARRAY);

struct unit {
	__u64 word;
};

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct unit);
} units SEC(".maps");

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct counted, node)->word <
	       container_of(b, struct counted, node)->word;
}

static __always_inline struct slot *the_slot(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&slots, &key);
}

static __always_inline struct owner *new_owner(void)
{
	struct owner *owner = bpf_obj_new(struct owner);
	struct plain *plain;
	struct copies __percpu_kptr *copies;

	if (!owner)
		return NULL;
	plain = bpf_obj_new(struct plain);
	if (plain) {
		plain = bpf_kptr_xchg(&owner->plain, plain);
		if (plain)
			bpf_obj_drop(plain);
	}
	copies = bpf_percpu_obj_new(struct copies);
	if (copies) {
		copies = bpf_kptr_xchg(&owner->copies, copies);
		if (copies)
			bpf_percpu_obj_drop(copies);
	}
	return owner;
}

/* The rest is one round, in which `i` is its number. */
#define CHURN(name, ...)                            \
	static long round_##name(__u32 i, void *ctx) \
	{                                           \
		__VA_ARGS__;                        \
		return 0;                           \
	}                                           \
	SEC("tc") int name(struct __sk_buff *skb)   \
	{                                           \
		bpf_loop(EACH, round_##name, NULL, 0); \
		return 0;                           \
	}

CHURN(counts, {
	struct counted *one = bpf_obj_new(struct counted);

	if (one)
		bpf_obj_drop(one);
})

CHURN(counted_twice, {
	struct counted *one = bpf_obj_new(struct counted), *two;

	if (!one)
		return 0;
	two = bpf_refcount_acquire(one);
	bpf_obj_drop(one);
	bpf_obj_drop(two);
})

CHURN(of_each_cpu, {
	struct copies __percpu_kptr *one = bpf_percpu_obj_new(struct copies);

	if (one)
		bpf_percpu_obj_drop(one);
})

CHURN(plain_ones, {
	struct plain *one = bpf_obj_new(struct plain);

	if (one)
		bpf_obj_drop(one);
})

CHURN(owners, {
	struct owner *one = new_owner();

	if (one)
		bpf_obj_drop(one);
})

#define FILLED(type, put)                                      \
	{                                                      \
		struct type *room = bpf_obj_new(struct type);  \
		struct counted *one;                           \
                                                               \
		if (!room)                                     \
			return 0;                              \
		one = bpf_obj_new(struct counted);             \
		if (one) {                                     \
			one->word = i;                         \
			bpf_spin_lock(&room->lock);            \
			put;                                   \
			bpf_spin_unlock(&room->lock);          \
		}                                              \
		bpf_obj_drop(room);                            \
	}

CHURN(in_a_list, FILLED(room, bpf_list_push_back(&room->list, &one->link)))
CHURN(in_a_tree, FILLED(room, bpf_rbtree_add(&room->root, &one->node, less)))
CHURN(in_a_counted_list, FILLED(counted_room, bpf_list_push_front(&room->list, &one->link)))

CHURN(through_a_list, {
	struct counted *one = bpf_obj_new(struct counted);
	struct slot *slot = the_slot();
	struct bpf_list_node *link;

	if (!one)
		return 0;
	if (!slot) {
		bpf_obj_drop(one);
		return 0;
	}
	bpf_spin_lock(&slot->lock);
	bpf_list_push_back(&slot->list, &one->link);
	link = i & 1 ? bpf_list_pop_front(&slot->list) : NULL;
	bpf_spin_unlock(&slot->lock);
	if (link)
		bpf_obj_drop(container_of(link, struct counted, link));
})

CHURN(through_a_tree, {
	struct counted *one = bpf_obj_new(struct counted);
	struct slot *slot = the_slot();
	struct bpf_rb_node *node;

	if (!one)
		return 0;
	if (!slot) {
		bpf_obj_drop(one);
		return 0;
	}
	one->word = i * 7 & 15;
	bpf_spin_lock(&slot->lock);
	bpf_rbtree_add(&slot->root, &one->node, less);
	node = bpf_rbtree_first(&slot->root);
	node = node ? bpf_rbtree_remove(&slot->root, node) : NULL;
	bpf_spin_unlock(&slot->lock);
	if (node)
		bpf_obj_drop(container_of(node, struct counted, node));
})

CHURN(in_a_list_and_a_tree, {
	struct counted *one = bpf_obj_new(struct counted), *two;
	struct slot *slot = the_slot();

	if (!one)
		return 0;
	if (!slot) {
		bpf_obj_drop(one);
		return 0;
	}
	two = bpf_refcount_acquire(one);
	bpf_spin_lock(&slot->lock);
	bpf_list_push_back(&slot->list, &one->link);
	bpf_rbtree_add(&slot->root, &two->node, less);
	bpf_spin_unlock(&slot->lock);
})

CHURN(in_a_field, {
	struct owner *one = new_owner();
	struct slot *slot = the_slot();

	if (!one)
		return 0;
	if (!slot) {
		bpf_obj_drop(one);
		return 0;
	}
	one = bpf_kptr_xchg(&slot->owner, one);
	if (one)
		bpf_obj_drop(one);
})

#define BOXED(map, after)                                       \
	{                                                       \
		struct box empty = {}, *box;                    \
		struct owner *one;                              \
		__u32 key = i & 3;                              \
                                                                \
		bpf_map_update_elem(&map, &key, &empty, 0);     \
		box = bpf_map_lookup_elem(&map, &key);          \
		if (!box)                                       \
			return 0;                               \
		one = new_owner();                              \
		if (!one)                                       \
			return 0;                               \
		one = bpf_kptr_xchg(&box->owner, one);          \
		if (one)                                        \
			bpf_obj_drop(one);                      \
		after;                                          \
	}

CHURN(elements_deleted, BOXED(hash, bpf_map_delete_elem(&hash, &key)))
CHURN(elements_updated, BOXED(hash, bpf_map_update_elem(&hash, &key, &empty, 0)))
CHURN(elements_of_an_lru, BOXED(lru, key += 4 * i; bpf_map_update_elem(&lru, &key, &empty, 0)))
CHURN(elements_of_a_cpu, BOXED(percpu, barrier()))

CHURN(units_of_an_allocator, {
	struct unit *one = bpf_mem_alloc(&units, type_id_local(struct unit));

	if (one)
		unit_free(one);
})

SEC("tc") int by_an_iterator(struct __sk_buff *skb)
{
	struct counted *one;
	int i;

	bpf_for(i, 0, EACH) {
		one = bpf_obj_new(struct counted);
		if (one)
			bpf_obj_drop(one);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
