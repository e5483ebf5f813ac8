/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which value a lock is in, which map a value is in, where a pointer points: only what holds in every
 * run may count.
 */
#include "oracle.h"

struct ledger {
	struct bpf_spin_lock lock;
	__u32 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct ledger);
} ledgers SEC(".maps");

struct elem {
	__u64 word;
	struct bpf_list_node link;
};

struct list {
	struct bpf_spin_lock lock;
	struct bpf_list_head head __contains(elem, link);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct list);
} lists SEC(".maps");

/* ------------------------------------------------------------------------- constant keys */

SEC("tc") __accept
int unlocks_what_it_locked(struct __sk_buff *ctx)
{
	__u32 first = 0, second = 1;
	struct ledger *a = bpf_map_lookup_elem(&ledgers, &first);
	struct ledger *b = bpf_map_lookup_elem(&ledgers, &second);

	if (!a || !b)
		return 0;
	bpf_spin_lock(&a->lock);
	a->count++;
	bpf_spin_unlock(&a->lock);
	bpf_spin_lock(&b->lock);
	b->count++;
	bpf_spin_unlock(&b->lock);
	return 0;
}

SEC("tc") __reject("bpf_spin_unlock of different lock")
int unlocks_another(struct __sk_buff *ctx)
{
	__u32 first = 0, second = 1;
	struct ledger *a = bpf_map_lookup_elem(&ledgers, &first);
	struct ledger *b = bpf_map_lookup_elem(&ledgers, &second);

	if (!a || !b)
		return 0;
	bpf_spin_lock(&a->lock);
	a->count++;
	bpf_spin_unlock(&b->lock);
	return 0;
}

SEC("tc") __reject("bpf_spin_unlock of different lock")
int unlocks_what_the_same_key_finds(struct __sk_buff *ctx)
{
	__u32 key = 1;
	struct ledger *a = bpf_map_lookup_elem(&ledgers, &key);
	struct ledger *b = bpf_map_lookup_elem(&ledgers, &key);

	if (!a || !b)
		return 0;
	bpf_spin_lock(&a->lock);
	a->count++;
	bpf_spin_unlock(&b->lock);
	return 0;
}

SEC("tc") __accept
int pushes_where_it_locked(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct list *a = bpf_map_lookup_elem(&lists, &key);
	struct elem *e;

	if (!a)
		return 0;
	e = bpf_obj_new(struct elem);
	if (!e)
		return 0;
	bpf_spin_lock(&a->lock);
	bpf_list_push_back(&a->head, &e->link);
	bpf_spin_unlock(&a->lock);
	return 0;
}

SEC("tc") __reject("bpf_spin_lock at off")
int pushes_elsewhere(struct __sk_buff *ctx)
{
	__u32 first = 0, second = 1;
	struct list *a = bpf_map_lookup_elem(&lists, &first);
	struct list *b = bpf_map_lookup_elem(&lists, &second);
	struct elem *e;

	if (!a || !b)
		return 0;
	e = bpf_obj_new(struct elem);
	if (!e)
		return 0;
	bpf_spin_lock(&a->lock);
	bpf_list_push_back(&b->head, &e->link);
	bpf_spin_unlock(&a->lock);
	return 0;
}

/* ----------------------------------------------------------------------------- inner maps */

struct row {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1000);
	__uint(map_flags, BPF_F_INNER_MAP);
	__type(key, __u32);
	__type(value, __u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct row);
} rows SEC(".maps");

SEC("tc") __accept
int checks_what_it_found(struct __sk_buff *ctx)
{
	__u32 key = 0, far = 999;
	void *row = bpf_map_lookup_elem(&rows, &key);
	__u64 *value;

	if (!row)
		return 0;
	value = bpf_map_lookup_elem(row, &far);
	if (value)
		*value = 5;
	return 0;
}

SEC("tc") __reject("invalid mem access 'map_value_or_null'")
int relies_on_the_template(struct __sk_buff *ctx)
{
	__u32 key = 0, far = 999;
	void *row = bpf_map_lookup_elem(&rows, &key);
	__u64 *value;

	if (!row)
		return 0;
	value = bpf_map_lookup_elem(row, &far);
	*value = 5;
	return 0;
}

/* --------------------------------------------------------------------------- references */

struct shared {
	__u64 value;
	struct bpf_list_node link;
	struct bpf_refcount refs;
	__u64 last;
};

SEC("tc") __accept
int acquires_the_object(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	t = bpf_refcount_acquire_impl(s, NULL);
	t->last = 7;
	bpf_obj_drop(t);
	bpf_obj_drop(s);
	return 0;
}

SEC("tc") __reject("disallowed") __kernel_accepts
__reason("Linux counts at that address, and takes what comes back for the object's start")
int acquires_a_member(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	t = bpf_refcount_acquire_impl(&s->link, NULL);
	t->last = 7;
	bpf_obj_drop(t);
	bpf_obj_drop(s);
	return 0;
}
