/* SPDX-License-Identifier: Apache-2.0 */
/* Lists, trees and counted objects, used well and badly; run without the verifier. */
#include <bpfheap.h>

char LICENSE[] SEC("license") = "GPL";

struct item { __u64 key; struct bpf_list_node link; };
struct leaf { __u64 key; struct bpf_rb_node node; };
struct shared {
    __u64 key;
    struct bpf_list_node link;
    struct bpf_rb_node node;
    struct bpf_refcount refs;
};
struct alien { __u64 key; struct bpf_list_node link; };
struct queue {
    struct bpf_spin_lock lock;
    struct bpf_list_head head __contains(item, link);
    struct bpf_rb_root root __contains(leaf, node);
};
struct pool {
    struct bpf_spin_lock lock;
    struct bpf_list_head head __contains(shared, link);
    struct bpf_rb_root root __contains(shared, node);
};
struct item_bag { __u64 id; struct bpf_list_head head __contains(item, link); struct bpf_spin_lock lock; };
struct owner { struct item_bag __kptr *bag; struct shared __kptr *shared; };
#define MAP(name, kind, of)                             \
struct {                                                \
    __uint(type, BPF_MAP_TYPE_##kind);                  \
    __uint(max_entries, 2);                             \
    __type(key, __u32);                                 \
    __type(value, struct of);                         \
} name SEC(".maps")
MAP(queues, ARRAY, queue);
MAP(hash, HASH, queue);
MAP(pools, ARRAY, pool);
MAP(owners, ARRAY, owner);

#define NEW(of, name)                                   \
    struct of *name = bpf_obj_new(struct of);           \
    if (!name)                                          \
        return -1;                                      \
    name->key = ctx->len
#define ITEM(n) container_of(n, struct item, link)
#define LEAF(n) container_of(n, struct leaf, node)
#define SHARED(n, m) container_of(n, struct shared, m)
#define LOCK(q) bpf_spin_lock(&(q)->lock)
#define UNLOCK(q) bpf_spin_unlock(&(q)->lock)

#define PROGRAM(name, ...)                              \
SEC("tc") long name(struct __sk_buff *ctx)              \
{                                                       \
    __u32 zero = 0, one = 1;                            \
    struct queue *q = bpf_map_lookup_elem(&queues, &zero);      \
    struct queue *r = bpf_map_lookup_elem(&queues, &one);       \
    struct queue *h = bpf_map_lookup_elem(&hash, &zero);        \
    struct pool *p = bpf_map_lookup_elem(&pools, &zero);        \
    struct owner *o = bpf_map_lookup_elem(&owners, &zero);      \
    struct bpf_list_node *n;                            \
    struct bpf_rb_node *t;                              \
    __u64 found = 0;                                    \
    if (!q || !r || !p || !o)                           \
        return -1;                                      \
    { __VA_ARGS__ }                                            \
    return found;                                       \
}

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
    return LEAF(a)->key < LEAF(b)->key;
}
static _Bool shared_less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
    return SHARED(a, node)->key < SHARED(b, node)->key;
}

PROGRAM(push_front, NEW(item, i); LOCK(q); bpf_list_push_front(&q->head, &i->link); UNLOCK(q);)
PROGRAM(push_back, NEW(item, i); LOCK(q); bpf_list_push_back(&q->head, &i->link); UNLOCK(q);)
PROGRAM(pop_front, LOCK(q); n = bpf_list_pop_front(&q->head); UNLOCK(q);
    if (n) { found = ITEM(n)->key; bpf_obj_drop(ITEM(n)); })
PROGRAM(pop_back, LOCK(q); n = bpf_list_pop_back(&q->head); UNLOCK(q);
    if (n) { found = ITEM(n)->key; bpf_obj_drop(ITEM(n)); })
PROGRAM(front, LOCK(q); n = bpf_list_front(&q->head); if (n) found = ITEM(n)->key; UNLOCK(q);)
PROGRAM(back, LOCK(q); n = bpf_list_back(&q->head); if (n) found = ITEM(n)->key; UNLOCK(q);)
PROGRAM(change_front, LOCK(q); n = bpf_list_front(&q->head);
    if (n) ITEM(n)->key = ctx->len; UNLOCK(q);)
PROGRAM(push_hash, NEW(item, i); if (!h) { bpf_obj_drop(i); return -1; }
    LOCK(h); bpf_list_push_back(&h->head, &i->link); UNLOCK(h);
    NEW(leaf, j); LOCK(h); bpf_rbtree_add(&h->root, &j->node, less); UNLOCK(h);)
PROGRAM(delete_hash, bpf_map_delete_elem(&hash, &zero);)

PROGRAM(add, NEW(leaf, i); LOCK(q); found = bpf_rbtree_add(&q->root, &i->node, less); UNLOCK(q);)
PROGRAM(first, LOCK(q); t = bpf_rbtree_first(&q->root); if (t) found = LEAF(t)->key;
    UNLOCK(q);)
PROGRAM(root, LOCK(q); t = bpf_rbtree_root(&q->root); if (t) found = LEAF(t)->key; UNLOCK(q);)
PROGRAM(remove_first, struct bpf_rb_node *m = NULL; LOCK(q);
    t = bpf_rbtree_first(&q->root); if (t) m = bpf_rbtree_remove(&q->root, t); UNLOCK(q);
    if (m) { found = LEAF(m)->key; bpf_obj_drop(LEAF(m)); })
/* Like a search in any ordered tree: down from the root. */
PROGRAM(search, int deep = 0; LOCK(q);
    for (t = bpf_rbtree_root(&q->root); t; deep++) {
        __u64 key = LEAF(t)->key;
        if (key == ctx->len) { found = 100 + deep; break; }
        t = ctx->len < key ? bpf_rbtree_left(&q->root, t) : bpf_rbtree_right(&q->root, t);
    }
    UNLOCK(q);)
PROGRAM(remove_found, struct bpf_rb_node *m = NULL; LOCK(q);
    t = bpf_rbtree_root(&q->root);
    for (int n = 0; t && n < 16; n++) {
        __u64 key = LEAF(t)->key;
        if (key == ctx->len) { m = bpf_rbtree_remove(&q->root, t); break; }
        t = ctx->len < key ? bpf_rbtree_left(&q->root, t) : bpf_rbtree_right(&q->root, t);
    }
    UNLOCK(q);
    if (m) { found = 1; bpf_obj_drop(LEAF(m)); })

/* Objects with several owners. */
PROGRAM(both, NEW(shared, s); struct shared *u = bpf_refcount_acquire(s); LOCK(p);
    bpf_list_push_back(&p->head, &s->link);
    found = bpf_rbtree_add(&p->root, &u->node, shared_less); UNLOCK(p);)
PROGRAM(twice_listed, NEW(shared, s); struct shared *u = bpf_refcount_acquire(s); LOCK(p);
    bpf_list_push_back(&p->head, &s->link);
    found = (__u32)bpf_list_push_back(&p->head, &u->link); UNLOCK(p);)
PROGRAM(twice_in_tree, NEW(shared, s); struct shared *u = bpf_refcount_acquire(s); LOCK(p);
    bpf_rbtree_add(&p->root, &s->node, shared_less);
    found = (__u32)bpf_rbtree_add(&p->root, &u->node, shared_less); UNLOCK(p);)
PROGRAM(unlist, LOCK(p); n = bpf_list_pop_front(&p->head); UNLOCK(p);
    if (n) { found = SHARED(n, link)->key; bpf_obj_drop(SHARED(n, link)); })
PROGRAM(untree, struct bpf_rb_node *m = NULL; LOCK(p); t = bpf_rbtree_first(&p->root);
    if (t) m = bpf_rbtree_remove(&p->root, t); UNLOCK(p);
    if (m) { found = SHARED(m, node)->key; bpf_obj_drop(SHARED(m, node)); })
PROGRAM(three, NEW(shared, s); struct shared *u = bpf_refcount_acquire(s);
    struct shared *v = bpf_refcount_acquire(u);
    bpf_obj_drop(s); u->key++; bpf_obj_drop(v); found = u->key; bpf_obj_drop(u);)
PROGRAM(not_there, NEW(shared, s); struct shared *u = bpf_refcount_acquire(s); LOCK(p);
    bpf_list_push_back(&p->head, &s->link);
    t = bpf_rbtree_remove(&p->root, &u->node); UNLOCK(p);
    if (t) bpf_obj_drop(SHARED(t, node)); else found = 7;
    bpf_obj_drop(u);)
PROGRAM(no_child, NEW(shared, s); struct shared *u = bpf_refcount_acquire(s); LOCK(p);
    bpf_list_push_back(&p->head, &s->link);
    found = (bpf_rbtree_left(&p->root, &u->node) == NULL)
          + (bpf_rbtree_right(&p->root, &u->node) == NULL); UNLOCK(p);
    bpf_obj_drop(u);)
PROGRAM(to_map_and_list, NEW(shared, s); struct shared *u = bpf_refcount_acquire(s);
    u = bpf_kptr_xchg(&o->shared, u); if (u) bpf_obj_drop(u);
    LOCK(p); bpf_list_push_back(&p->head, &s->link); UNLOCK(p);)
PROGRAM(relist, struct shared *u = bpf_kptr_xchg(&o->shared, NULL); if (!u) return -1;
    LOCK(p); found = (__u32)bpf_list_push_back(&p->head, &u->link); UNLOCK(p);)
PROGRAM(acquire_dead, NEW(shared, s); bpf_obj_drop(s);
    found = bpf_refcount_acquire(s) == NULL;)

/* A list in an object in a map. */
PROGRAM(fill_bag,
    struct item_bag *b = bpf_obj_new(struct item_bag);
    if (!b)
        return -1;
    for (int n = 0; n < 2; n++) {
        struct item *i = bpf_obj_new(struct item);
        if (!i)
            continue;
        i->key = ctx->len;
        LOCK(b); bpf_list_push_back(&b->head, &i->link); UNLOCK(b);
    }
    b = bpf_kptr_xchg(&o->bag, b);
    if (b)
        bpf_obj_drop(b);)

/* What must not be done. */
PROGRAM(no_lock, NEW(item, i); bpf_list_push_back(&q->head, &i->link);)
PROGRAM(other_lock, NEW(item, i); LOCK(r); bpf_list_push_back(&q->head, &i->link);)
PROGRAM(not_owned, NEW(item, i); LOCK(q); bpf_list_push_back(&q->head, &i->link);
    bpf_list_push_back(&q->head, &i->link);)
PROGRAM(not_owned_tree, NEW(shared, s); LOCK(p); bpf_list_push_back(&p->head, &s->link);
    bpf_rbtree_add(&p->root, &s->node, shared_less);)
PROGRAM(wrong_type, NEW(alien, i); LOCK(q); bpf_list_push_back(&q->head, &i->link);)
PROGRAM(wrong_place, NEW(item, i); LOCK(q); bpf_list_push_back(&q->head, (void *)&i->key);)
PROGRAM(wrong_node, NEW(leaf, i); LOCK(q); bpf_list_push_back(&q->head, (void *)&i->node);)
PROGRAM(wrong_head, NEW(item, i); LOCK(q); bpf_list_push_back((void *)&q->root, &i->link);)
PROGRAM(null_node, LOCK(q); bpf_list_push_back(&q->head, NULL);)
PROGRAM(drop_listed, NEW(item, i); LOCK(q); bpf_list_push_back(&q->head, &i->link); UNLOCK(q);
    bpf_obj_drop(i);)
PROGRAM(lost, LOCK(q); bpf_list_pop_front(&q->head); UNLOCK(q);)
PROGRAM(lost_share, NEW(shared, s); bpf_refcount_acquire(s); bpf_obj_drop(s);)
PROGRAM(use_dropped, LOCK(q); n = bpf_list_pop_front(&q->head); UNLOCK(q);
    if (n) { bpf_obj_drop(ITEM(n)); found = *(volatile __u64 *)&ITEM(n)->key; })
PROGRAM(peek_dropped, LOCK(q); n = bpf_list_front(&q->head);
    struct bpf_list_node *m = bpf_list_pop_front(&q->head); UNLOCK(q);
    if (m) { bpf_obj_drop(ITEM(m)); *(volatile __u64 *)&ITEM(n)->key = 1; })
PROGRAM(read_head, found = *(volatile __u64 *)&q->head;)
PROGRAM(write_node, NEW(item, i); *(volatile __u64 *)&i->link = 0;)
PROGRAM(write_count, NEW(shared, s); *(volatile __u32 *)&s->refs = 7;)
PROGRAM(not_counted, NEW(item, i); bpf_refcount_acquire(i);)
PROGRAM(count_inside, NEW(shared, s); bpf_refcount_acquire(&s->link);)

static _Bool removes(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
    __u32 zero = 0;
    struct queue *q = (void *)LEAF(b)->key;
    bpf_rbtree_remove(&q->root, (void *)b);
    return 0;
}
static _Bool unlocks(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
    struct queue *q = (void *)LEAF(b)->key;
    UNLOCK(q);
    return 0;
}
static _Bool adds(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
    struct queue *q = (void *)LEAF(b)->key;
    bpf_rbtree_add(&q->root, a, less);
    return 0;
}
#define HOSTILE(name, function)                         \
PROGRAM(name, NEW(leaf, i); i->key = (__u64)q; LOCK(q); \
    bpf_rbtree_add(&q->root, &i->node, less); UNLOCK(q);        \
    NEW(leaf, j); LOCK(q); bpf_rbtree_add(&q->root, &j->node, function); UNLOCK(q);)
HOSTILE(add_removes, removes)
HOSTILE(add_unlocks, unlocks)
HOSTILE(add_adds, adds)

/* The new node is not in the tree while its place is looked for. */
static _Bool asks(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
    struct queue *q = (void *)LEAF(b)->key;
    LEAF(a)->key = bpf_rbtree_left(&q->root, a) == NULL && bpf_rbtree_first(&q->root) == b;
    return 0;
}
PROGRAM(add_asks, NEW(leaf, i); i->key = (__u64)q; LOCK(q);
    bpf_rbtree_add(&q->root, &i->node, less); UNLOCK(q);
    NEW(leaf, j); LOCK(q); bpf_rbtree_add(&q->root, &j->node, asks); found = j->key; UNLOCK(q);)
