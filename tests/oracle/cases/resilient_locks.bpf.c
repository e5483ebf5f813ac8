/* SPDX-License-Identifier: Apache-2.0 */
/* Resilient locks: taking one may fail, several may be held, and the last one goes first. */
#include "oracle.h"

#define global __weak __noinline
#define AA "Acquiring the same lock again, AA deadlock detected"
#define OTHER "bpf_res_spin_unlock of different lock"
#define ORDER "bpf_res_spin_unlock cannot be out of order"
#define HELD "BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region"
#define CALLS "function calls are not allowed while holding a lock"
#define chance (bpf_get_prandom_u32() & 1)
#define take bpf_res_spin_lock
#define drop bpf_res_spin_unlock
#define take_irq bpf_res_spin_lock_irqsave
#define drop_irq bpf_res_spin_unlock_irqrestore

struct node {
	__u64 n;
	struct bpf_list_node link;
};

struct leaf {
	__u64 key;
	struct bpf_rb_node node;
};

struct elem {
	__u64 n;
	struct bpf_res_spin_lock lock;
};

struct with_list {
	struct bpf_res_spin_lock lock;
	struct bpf_list_head head __contains(node, link);
};

struct both {
	struct bpf_spin_lock spin;
	struct bpf_res_spin_lock lock;
};

struct owner {
	struct bpf_refcount refs;
	struct bpf_res_spin_lock lock;
};

struct without {
	__u64 n;
};

#define ARRAY(name, type_)                      \
	struct {                                \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(max_entries, 4);         \
		__type(key, __u32);             \
		__type(value, type_);           \
	} name SEC(".maps")

ARRAY(elems, struct elem);
ARRAY(lists, struct with_list);
ARRAY(plain, struct without);

private(A) struct bpf_res_spin_lock lock_a;
private(B) struct bpf_res_spin_lock lock_b;
private(C) struct bpf_spin_lock spin;
private(D) struct bpf_res_spin_lock lock_d;
private(D) struct bpf_list_head nodes __contains(node, link);
private(E) struct bpf_res_spin_lock lock_e;
private(E) struct bpf_rb_root tree __contains(leaf, node);
private(F) struct bpf_spin_lock spin_f;
private(F) struct bpf_list_head more __contains(node, link);

__u64 variable;

#define value_of(map) bpf_map_lookup_elem(&map, &(__u32){ bpf_get_prandom_u32() })

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct leaf, node)->key < container_of(b, struct leaf, node)->key;
}

static _Bool less_takes(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	if (!take(&lock_a))
		drop(&lock_a);
	return 1;
}

static _Bool less_again(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	if (!take(&lock_e))
		drop(&lock_e);
	return 1;
}

static _Bool less_drops(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	drop(&lock_e);
	take(&lock_e);
	return 1;
}

static __noinline int takes(void)
{
	return take(&lock_a);
}

static __noinline void drops(void)
{
	drop(&lock_a);
}

global int pure(int n)
{
	return n + 1;
}

global int balanced(int n)
{
	if (take(&lock_a))
		return 1;
	drop(&lock_a);
	return 0;
}

static long in_callback(__u32 i, void *ctx)
{
	if (take(&lock_a))
		return 1;
	drop(&lock_a);
	return 0;
}

#define CASE(name, verdict, section, body)             \
	SEC(section) verdict int name(void *ctx)       \
	{                                              \
		unsigned long f1, f2;                  \
		(void)f1, (void)f2;                    \
		body;                                  \
		return 0;                              \
	}

/* -------------------------------------------------------------- taken or not */

CASE(taken, __accept, "tc", if (take(&lock_a)) return 1; drop(&lock_a))
CASE(not_looked_at, __reject("bpf_res_spin_unlock without taking a lock"), "tc", take(&lock_a);
     drop(&lock_a))
CASE(looked_at_the_wrong_way, __reject(HELD), "tc",
     if (!take(&lock_a)) return 1; drop(&lock_a))
CASE(never_released, __reject(HELD), "tc", if (take(&lock_a)) return 1)
CASE(released_twice, __reject("bpf_res_spin_unlock without taking a lock"), "tc",
     if (take(&lock_a)) return 1; drop(&lock_a); drop(&lock_a))
CASE(result_is_negative, __accept, "cgroup_skb/ingress",
     int e = take(&lock_a); if (!e) { drop(&lock_a); return 0; } return e < 0 && e >= -4095)
CASE(result_is_zero, __accept, "cgroup_skb/ingress",
     int e = take(&lock_a); if (e < 0) return 1; drop(&lock_a); return e)
CASE(result_may_be_any_error, __reject("At program exit the register R0 has"), "cgroup_skb/ingress",
     int e = take(&lock_a); if (!e) drop(&lock_a); return e)
CASE(again_after, __accept, "tc", if (take(&lock_a)) return 1; drop(&lock_a);
     if (take(&lock_a)) return 1; drop(&lock_a))

/* -------------------------------------------------------------- several */

CASE(two, __accept, "tc", if (take(&lock_a)) return 1;
     if (take(&lock_b)) { drop(&lock_a); return 1; } drop(&lock_b); drop(&lock_a))
CASE(first_first, __reject(ORDER), "tc", if (take(&lock_a)) return 1;
     if (take(&lock_b)) { drop(&lock_a); return 1; } drop(&lock_a); drop(&lock_b))
CASE(second_fails_first_stays, __reject(HELD), "tc", if (take(&lock_a)) return 1;
     if (take(&lock_b)) return 1; drop(&lock_b); drop(&lock_a))
CASE(the_same, __reject(AA), "tc", if (take(&lock_a)) return 1; if (take(&lock_a)) return 1;
     drop(&lock_a))
CASE(the_same_further_up, __reject(AA), "tc", if (take(&lock_a)) return 1;
     if (take(&lock_b)) { drop(&lock_a); return 1; } if (take(&lock_a)) return 1)
CASE(of_another_value, __accept, "tc", struct elem *a = value_of(elems); struct elem *b;
     if (!a) return 0; b = value_of(elems); if (!b) return 0; if (take(&a->lock)) return 1;
     if (take(&b->lock)) { drop(&a->lock); return 1; } drop(&b->lock); drop(&a->lock))
CASE(of_the_same_value, __reject(AA), "tc", struct elem *a = value_of(elems);
     if (!a) return 0; if (take(&a->lock)) return 1; if (take(&a->lock)) return 1)
CASE(dropped_through_another, __reject(OTHER), "tc", struct elem *a = value_of(elems);
     struct elem *b; if (!a) return 0; b = value_of(elems); if (!b) return 0;
     if (take(&a->lock)) return 1; drop(&b->lock))
CASE(another_dropped, __reject(OTHER), "tc", if (take(&lock_a)) return 1; drop(&lock_b))
CASE(other_order_elsewhere, __accept, "tc", if (take(&lock_b)) return 1;
     if (take(&lock_a)) { drop(&lock_b); return 1; } drop(&lock_a); drop(&lock_b))

/* -------------------------------------------------------------- where it is */

CASE(in_a_value, __accept, "tc", struct elem *a = value_of(elems); if (!a) return 0;
     if (take(&a->lock)) return 1; a->n++; drop(&a->lock))
CASE(unchecked, __reject("arg#0 doesn't point to map value or allocated object"), "tc",
     struct with_list *a = value_of(lists); take(&a->lock))
CASE(on_the_stack, __reject("arg#0 doesn't point to map value or allocated object"), "tc",
     struct bpf_res_spin_lock l = {}; take(&l))
CASE(elsewhere_in_the_value, __reject("off 0 doesn't point to 'struct bpf_res_spin_lock' that is at 8"),
     "tc", struct elem *a = value_of(elems); if (!a) return 0; take((void *)&a->n))
CASE(in_a_value_without, __reject("map 'plain' has no valid bpf_res_spin_lock"), "tc",
     struct without *a = value_of(plain); if (!a) return 0; take((void *)a))
CASE(a_spin_lock, __reject("has no valid bpf_res_spin_lock"), "tc", take((void *)&spin))
CASE(as_a_spin_lock, __reject("has no valid bpf_spin_lock"), "tc", bpf_spin_lock((void *)&lock_a))
CASE(in_an_object, __accept, "tc", struct owner *o = bpf_obj_new(struct owner); if (!o) return 0;
     if (!take(&o->lock)) drop(&o->lock); bpf_obj_drop(o))
CASE(object_gone, __reject(CALLS), "tc", struct owner *o = bpf_obj_new(struct owner);
     if (!o) return 0; if (take(&o->lock)) { bpf_obj_drop(o); return 1; } bpf_obj_drop(o))
CASE(in_an_object_without, __reject("local 'kptr' has no valid bpf_res_spin_lock"), "tc",
     struct node *o = bpf_obj_new(struct node); if (!o) return 0; take((void *)o))
CASE(written_over, __reject("bpf_res_spin_lock cannot be accessed directly"), "tc",
     struct elem *a = value_of(elems); if (!a) return 0; *(volatile __u32 *)&a->lock = 1)
CASE(written_beside, __accept, "tc", struct elem *a = value_of(elems); if (!a) return 0;
     *(volatile __u64 *)&a->n = 1)

/* -------------------------------------------------------------- with interrupts */

CASE(irq, __accept, "tc", if (take_irq(&lock_a, &f1)) return 1; drop_irq(&lock_a, &f1))
CASE(irq_failed, __accept, "tc", if (take_irq(&lock_a, &f1)) return 1;
     if (take_irq(&lock_b, &f2)) { drop_irq(&lock_a, &f1); return 1; }
     drop_irq(&lock_b, &f2); drop_irq(&lock_a, &f1))
CASE(irq_flags_mixed_up, __reject("cannot restore irq state out of order"), "tc",
     if (take_irq(&lock_a, &f1)) return 1;
     if (take_irq(&lock_b, &f2)) { drop_irq(&lock_a, &f1); return 1; }
     drop_irq(&lock_b, &f1); drop_irq(&lock_a, &f2))
CASE(irq_dropped_plainly, __reject(OTHER), "tc", if (take_irq(&lock_a, &f1)) return 1;
     drop(&lock_a))
CASE(plain_dropped_by_irq, __reject(OTHER), "tc", if (take(&lock_a)) return 1;
     drop_irq(&lock_a, &f1))
CASE(irq_flag_of_another_kind, __reject("irq flag acquired by native kfuncs cannot be restored with lock kfuncs"),
     "tc", bpf_local_irq_save(&f1); if (take_irq(&lock_a, &f2)) { bpf_local_irq_restore(&f1);
     return 1; } drop_irq(&lock_a, &f1); bpf_local_irq_restore(&f1))
CASE(irq_restored_alone, __reject(CALLS), "tc", if (take_irq(&lock_a, &f1)) return 1;
     bpf_local_irq_restore(&f1); drop(&lock_a))
CASE(irq_in_a_section, __accept, "tc", bpf_local_irq_save(&f1);
     if (!take(&lock_a)) drop(&lock_a); bpf_local_irq_restore(&f1))
CASE(irq_flag_uninitialised, __reject("expected an initialized irq flag as arg#1"), "tc",
     use(&f2); if (take_irq(&lock_a, &f1)) return 1; drop_irq(&lock_a, &f2))
CASE(irq_flag_used, __reject("expected uninitialized irq flag as arg#1"), "tc",
     bpf_local_irq_save(&f1); take_irq(&lock_a, &f1))
CASE(irq_flag_elsewhere, __reject("arg#1 doesn't point to an irq flag on stack"), "tc",
     take_irq(&lock_a, (void *)&variable))
CASE(irq_taken_never_left, __reject(HELD), "tc", if (take_irq(&lock_a, &f1)) return 1)

/* -------------------------------------------------------------- calls */

CASE(helper, __reject(CALLS), "tc", if (take(&lock_a)) return 1; variable = chance;
     drop(&lock_a))
CASE(spin_lock_under_it, __reject(CALLS), "tc", if (take(&lock_a)) return 1;
     bpf_spin_lock(&spin); bpf_spin_unlock(&spin); drop(&lock_a))
CASE(under_a_spin_lock, __accept, "tc", bpf_spin_lock(&spin); if (!take(&lock_a)) drop(&lock_a);
     bpf_spin_unlock(&spin))
CASE(spin_lock_out_of_order, __reject("bpf_spin_unlock cannot be out of order"), "tc",
     bpf_spin_lock(&spin); if (take(&lock_a)) { bpf_spin_unlock(&spin); return 1; }
     bpf_spin_unlock(&spin); drop(&lock_a))
CASE(static_functions, __accept, "tc", if (takes()) return 1; drops())
CASE(static_function_fails, __reject("without taking a lock"), "tc", takes(); drops())
CASE(global_function, __reject("global function calls are not allowed while holding a lock"), "tc",
     if (take(&lock_a)) return 1; pure(1); drop(&lock_a))
CASE(in_global_function, __accept, "tc", balanced(1))
CASE(iterator, __accept, "tc", struct bpf_iter_num it; if (take(&lock_a)) return 1;
     bpf_iter_num_new(&it, 0, 3); while (bpf_iter_num_next(&it)) variable++;
     bpf_iter_num_destroy(&it); drop(&lock_a))
CASE(callback, __accept, "tc", bpf_loop(3, in_callback, NULL, 0))
CASE(in_a_loop, __accept, "tc", int i; bpf_for(i, 0, 3) if (!take(&lock_a)) drop(&lock_a))
CASE(throw, __reject(CALLS), "tc", if (take(&lock_a)) return 1; bpf_throw(1))
CASE(tracing, __reject("tracing progs cannot use bpf_spin_lock yet"), "tp/syscalls/sys_enter_kill",
     if (!take(&lock_a)) drop(&lock_a))
CASE(socket_filter, __reject("socket filter progs cannot use bpf_spin_lock yet"), "socket",
     if (!take(&lock_a)) drop(&lock_a))
CASE(sleeps, __reject(CALLS), "syscall", char b[8]; if (take(&lock_a)) return 1;
     bpf_copy_from_user(b, 8, NULL); drop(&lock_a))

/* -------------------------------------------------------------- lists and trees */

CASE(push, __accept, "tc", struct node *n = bpf_obj_new(struct node); if (!n) return 0;
     if (take(&lock_d)) { bpf_obj_drop(n); return 1; } bpf_list_push_front(&nodes, &n->link);
     drop(&lock_d))
CASE(push_where_it_failed, __reject("must be held for bpf_list_head"), "tc",
     struct node *n = bpf_obj_new(struct node); if (!n) return 0; take(&lock_d);
     bpf_list_push_front(&nodes, &n->link); drop(&lock_d))
CASE(push_under_another, __reject("must be held for bpf_list_head"), "tc",
     struct node *n = bpf_obj_new(struct node); if (!n) return 0;
     if (take(&lock_a)) { bpf_obj_drop(n); return 1; } bpf_list_push_front(&nodes, &n->link);
     drop(&lock_a))
CASE(push_under_both, __accept, "tc", struct node *n = bpf_obj_new(struct node); if (!n) return 0;
     if (take(&lock_d)) { bpf_obj_drop(n); return 1; }
     if (take(&lock_a)) { drop(&lock_d); bpf_obj_drop(n); return 1; }
     bpf_list_push_front(&nodes, &n->link); drop(&lock_a); drop(&lock_d))
CASE(pop, __accept, "tc", struct bpf_list_node *l; if (take(&lock_d)) return 1;
     l = bpf_list_pop_front(&nodes); drop(&lock_d);
     if (l) bpf_obj_drop(container_of(l, struct node, link)))
CASE(in_a_value_push, __accept, "tc", struct with_list *v = value_of(lists); struct node *n;
     if (!v) return 0; n = bpf_obj_new(struct node); if (!n) return 0;
     if (take(&v->lock)) { bpf_obj_drop(n); return 1; } bpf_list_push_back(&v->head, &n->link);
     drop(&v->lock))
CASE(add, __accept, "tc", struct leaf *n = bpf_obj_new(struct leaf); if (!n) return 0;
     if (take(&lock_e)) { bpf_obj_drop(n); return 1; } bpf_rbtree_add(&tree, &n->node, less);
     drop(&lock_e))
CASE(comparison_takes_another, __accept, "tc",
     struct leaf *n = bpf_obj_new(struct leaf); if (!n) return 0;
     if (take(&lock_e)) { bpf_obj_drop(n); return 1; } bpf_rbtree_add(&tree, &n->node, less_takes);
     drop(&lock_e))
CASE(comparison_takes_the_same, __reject(AA), "tc",
     struct leaf *n = bpf_obj_new(struct leaf); if (!n) return 0;
     if (take(&lock_e)) { bpf_obj_drop(n); return 1; } bpf_rbtree_add(&tree, &n->node, less_again);
     drop(&lock_e))
CASE(comparison_releases, __reject("must be held for bpf_rb_root"), "tc",
     struct leaf *n = bpf_obj_new(struct leaf); if (!n) return 0;
     if (take(&lock_e)) { bpf_obj_drop(n); return 1; } bpf_rbtree_add(&tree, &n->node, less_drops);
     drop(&lock_e))
CASE(seen_until_release, __accept, "tc", struct bpf_rb_node *f; if (take(&lock_e)) return 1;
     f = bpf_rbtree_first(&tree); if (f) variable = container_of(f, struct leaf, node)->key;
     drop(&lock_e))
CASE(seen_after_release, __reject("invalid mem access 'scalar'"), "tc", struct bpf_rb_node *f;
     if (take(&lock_e)) return 1; f = bpf_rbtree_first(&tree); drop(&lock_e);
     if (f) variable = container_of(f, struct leaf, node)->key)
CASE(seen_after_release_of_another, __reject("invalid mem access 'scalar'"), "tc",
     struct bpf_rb_node *f; if (take(&lock_e)) return 1; f = bpf_rbtree_first(&tree);
     if (take(&lock_a)) { drop(&lock_e); return 1; } drop(&lock_a);
     if (f) variable = container_of(f, struct leaf, node)->key; drop(&lock_e))
