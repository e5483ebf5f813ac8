/* Programs that a verifier accepted once, or that Linux accepts, and that are not safe: one for each kind
 * that the oracle's cases do not have. Test code runs them unverified. */
#include <bpfheap.h>

#define ARRAY(name, n, v)                          \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(max_entries, n);            \
		__type(key, __u32);                \
		__type(value, v);                  \
	} name SEC(".maps")

/* An inner map that has fewer elements than its template: test code puts `small` there. */
struct large {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1000);
	__uint(map_flags, BPF_F_INNER_MAP);
	__type(key, __u32);
	__type(value, __u64);
};

struct small {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP);
	__type(key, __u32);
	__type(value, __u64);
} small SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct large);
} outer SEC(".maps");

SEC("tc") int inner_template(struct __sk_buff *ctx)
{
	__u32 zero = 0, last = 999;
	void *inner = bpf_map_lookup_elem(&outer, &zero);
	__u64 *value;

	if (!inner)
		return 0;
	value = bpf_map_lookup_elem(inner, &last);
	*value = 5;
	return 1;
}

/* Two elements by constant keys: one lock is taken, the other one released. */
struct ledger {
	struct bpf_spin_lock lock;
	__u32 count;
};

ARRAY(ledgers, 4, struct ledger);

SEC("tc") int unlocks_another(struct __sk_buff *ctx)
{
	__u32 zero = 0, one = 1;
	struct ledger *a = bpf_map_lookup_elem(&ledgers, &zero);
	struct ledger *b = bpf_map_lookup_elem(&ledgers, &one);

	if (!a || !b)
		return 0;
	bpf_spin_lock(&a->lock);
	a->count++;
	bpf_spin_unlock(&b->lock);
	return 0;
}

struct elem {
	__u64 number;
	struct bpf_list_node link;
};

struct list {
	struct bpf_spin_lock lock;
	struct bpf_list_head head __contains(elem, link);
};

ARRAY(lists, 4, struct list);

SEC("tc") int changes_another(struct __sk_buff *ctx)
{
	__u32 zero = 0, one = 1;
	struct list *a = bpf_map_lookup_elem(&lists, &zero);
	struct list *b = bpf_map_lookup_elem(&lists, &one);
	struct elem *elem;

	if (!a || !b)
		return 0;
	elem = bpf_obj_new(struct elem);
	if (!elem)
		return 0;
	bpf_spin_lock(&a->lock);
	bpf_list_push_back(&b->head, &elem->link);
	bpf_spin_unlock(&a->lock);
	return 0;
}

/* NULL where it must not be. */
static __noinline int takes(__u64 *number)
{
	*(volatile __u64 *)number = 1;
	return 0;
}

SEC("tc") int null_for_nonnull(struct __sk_buff *ctx)
{
	__u64 zero = 0;

	asm volatile("" : "+r"(zero));
	return takes((__u64 *)zero);
}

/* An object that owns itself. */
struct self {
	struct bpf_refcount refs;
	struct self __kptr *me;
};

SEC("tc") int owns_itself(struct __sk_buff *ctx)
{
	struct self *a = bpf_obj_new(struct self), *b, *old;

	if (!a)
		return 0;
	b = bpf_refcount_acquire(a);
	old = bpf_kptr_xchg(&a->me, b);
	if (old)
		bpf_obj_drop(old);
	bpf_obj_drop(a);
	return 0;
}

/* A reference by the address of a member. */
struct shared {
	__u64 number;
	struct bpf_list_node link;
	struct bpf_refcount refs;
	__u64 last;
};

SEC("tc") int refcount_inside(struct __sk_buff *ctx)
{
	struct shared *a = bpf_obj_new(struct shared), *b, *c;
	int last;

	if (!a)
		return 0;
	b = bpf_obj_new(struct shared);
	if (!b) {
		bpf_obj_drop(a);
		return 0;
	}
	c = bpf_refcount_acquire_impl(&a->refs, NULL);
	c->last = 777;
	last = a->last;
	bpf_obj_drop(c);
	bpf_obj_drop(b);
	bpf_obj_drop(a);
	return last;
}

/* Counted objects that are freed while others wait for their grace period. */
static long churn_once(__u32 i, void *ctx)
{
	struct shared *made = bpf_obj_new(struct shared);

	if (made)
		bpf_obj_drop(made);
	return 0;
}

SEC("tc") int counted_churn(struct __sk_buff *ctx)
{
	bpf_loop(1000, churn_once, NULL, 0);
	return 0;
}

/* Sleeping where it must not. */
__weak __noinline int sleeps(int n)
{
	char bytes[8];

	bpf_copy_from_user(bytes, sizeof(bytes), NULL);
	return n;
}

SEC("syscall") int sleeping_global(void *ctx)
{
	bpf_rcu_read_lock();
	sleeps(1);
	bpf_rcu_read_unlock();
	return 0;
}

/* A number that is read as a pointer. */
struct inner {
	__u64 a, b;
};

struct box {
	__u64 number;
	struct inner *plain;
};

__kptr_type(struct inner);
struct inner known_inner;

struct holder {
	struct box __kptr *box;
};

ARRAY(holders, 1, struct holder);
ARRAY(numbers, 1, __u64);

SEC("syscall") int untrusted_number(void *ctx)
{
	__u32 zero = 0;
	struct holder *holder = bpf_map_lookup_elem(&holders, &zero);
	__u64 *number = bpf_map_lookup_elem(&numbers, &zero);
	struct box *box, *old;

	if (!holder || !number)
		return 0;
	box = bpf_obj_new(struct box);
	if (!box)
		return 0;
	box->plain = (struct inner *)*number;
	old = bpf_kptr_xchg(&holder->box, box);
	if (old)
		bpf_obj_drop(old);
	box = holder->box;
	return box ? box->plain->b : 0;
}

char LICENSE[] SEC("license") = "GPL";
