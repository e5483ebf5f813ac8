/* SPDX-License-Identifier: Apache-2.0 */
/* Fields that own objects of the program's own types, in values of maps of all kinds. */
#include "oracle.h"

struct parcel {
	__u64 weight;
	__u32 city;
	__u32 zip;
};

struct crate {
	__u64 size;
};

struct shelf {
	__u64 count;
	struct parcel __kptr *parcel;
	struct crate __kptr *crate;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct shelf);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct shelf);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shelf);
} percpu SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct shelf);
} inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { &inner } };

/* The shelf of an unknown key: a lookup that may fail. */
static __always_inline struct shelf *shelf_of(void *map)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(map, &key);
}

/* ---------------------------------------------------------------------------- new and drop */

SEC("tc") __accept
int new_drop(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (!p)
		return 0;
	p->weight = 1;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int new_leak(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (!p)
		return 0;
	p->weight = 1;
	return 0;
}

SEC("tc") __reject("invalid mem access 'ptr_or_null_'")
int new_unchecked(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	p->weight = 1;
	if (!p)
		return 0;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("Possibly NULL pointer passed")
int drop_unchecked(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __accept
int drop_last_access_before(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);
	__u32 city;

	if (!p)
		return 0;
	city = *(volatile __u32 *)&p->city;
	bpf_obj_drop(p);
	return city & 1;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int drop_then_access(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);
	__u32 city;

	if (!p)
		return 0;
	bpf_obj_drop(p);
	city = *(volatile __u32 *)&p->city;
	return city & 1;
}

SEC("tc") __reject("must be referenced or trusted")
int drop_twice(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (!p)
		return 0;
	bpf_obj_drop(p);
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __accept
int drop_on_both_paths(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (!p)
		return 0;
	if (ctx->len > 100) {
		bpf_obj_drop(p);
		return 1;
	}
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int drop_on_one_path(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (!p)
		return 0;
	if (ctx->len > 100)
		return 1;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __accept
int drop_own_pointer(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (!p)
		return 0;
	bpf_obj_drop((void *)p);
	return 0;
}

SEC("tc") __reject("must have zero offset when passed to release func")
int drop_moved_pointer(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (!p)
		return 0;
	bpf_obj_drop((void *)p + 8);
	return 0;
}

SEC("tc") __reject("must be referenced or trusted")
int drop_stack(struct __sk_buff *ctx)
{
	struct parcel p = {};

	bpf_obj_drop(&p);
	return 0;
}

SEC("tc") __reject("must be referenced or trusted")
int drop_map_value(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);

	if (!s)
		return 0;
	bpf_obj_drop(s);
	return 0;
}

SEC("tc") __accept
int access_last_field(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (!p)
		return 0;
	*(volatile __u32 *)((void *)p + 12) = 1;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("access beyond")
int access_past_the_end(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (!p)
		return 0;
	*(volatile __u32 *)((void *)p + 16) = 1;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("is ptr_parcel invalid negative access: off=-4")
int access_before_the_start(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (!p)
		return 0;
	*(volatile __u32 *)((void *)p - 4) = 1;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("is ptr_parcel invalid variable offset")
int access_at_a_variable_offset(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (!p)
		return 0;
	*((volatile __u8 *)p + (ctx->len & 7)) = 1;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __accept
int two_objects_dropped(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel), *q;

	if (!p)
		return 0;
	q = bpf_obj_new(struct parcel);
	if (q)
		bpf_obj_drop(q);
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int two_objects_one_lost(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel), *q;

	if (!p)
		return 0;
	q = bpf_obj_new(struct parcel);
	if (!q)
		return 0;
	bpf_obj_drop(q);
	bpf_obj_drop(p);
	return 0;
}

/* -------------------------------------------------------------------------------- exchange */

SEC("tc") __accept
int xchg_in(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = bpf_obj_new(struct parcel);
	if (!p)
		return 0;
	p = bpf_kptr_xchg(&s->parcel, p);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int xchg_in_old_lost(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = bpf_obj_new(struct parcel);
	if (!p)
		return 0;
	bpf_kptr_xchg(&s->parcel, p);
	return 0;
}

SEC("tc") __reject("invalid mem access")
int xchg_in_then_access(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p, *old;

	if (!s)
		return 0;
	p = bpf_obj_new(struct parcel);
	if (!p)
		return 0;
	old = bpf_kptr_xchg(&s->parcel, p);
	if (old)
		bpf_obj_drop(old);
	p->weight = 1;
	return 0;
}

SEC("tc") __reject("must be referenced or trusted")
int xchg_in_then_drop(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p, *old;

	if (!s)
		return 0;
	p = bpf_obj_new(struct parcel);
	if (!p)
		return 0;
	old = bpf_kptr_xchg(&s->parcel, p);
	if (old)
		bpf_obj_drop(old);
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __accept
int xchg_out(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = bpf_kptr_xchg(&s->parcel, NULL);
	if (!p)
		return 0;
	p->weight++;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("invalid mem access 'ptr_or_null_'")
int xchg_out_unchecked(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = bpf_kptr_xchg(&s->parcel, NULL);
	p->weight++;
	if (!p)
		return 0;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int xchg_out_leak(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = bpf_kptr_xchg(&s->parcel, NULL);
	if (!p)
		return 0;
	p->weight++;
	return 0;
}

SEC("tc") __accept
int xchg_swap_fields_of_one_type(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array), *t = shelf_of(&hash);
	struct parcel *p;

	if (!s || !t)
		return 0;
	p = bpf_kptr_xchg(&s->parcel, NULL);
	if (!p)
		return 0;
	p = bpf_kptr_xchg(&t->parcel, p);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("invalid kptr access")
int xchg_other_type(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array), *t = shelf_of(&hash);
	struct crate *c;

	if (!s || !t)
		return 0;
	c = bpf_kptr_xchg(&s->crate, NULL);
	if (!c)
		return 0;
	c = (void *)bpf_kptr_xchg(&t->parcel, (void *)c);
	if (c)
		bpf_obj_drop(c);
	return 0;
}

SEC("tc") __accept
int xchg_new_of_right_type(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	void *p;

	if (!s)
		return 0;
	p = bpf_obj_new(struct crate);
	if (!p)
		return 0;
	p = bpf_kptr_xchg(&s->crate, p);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("invalid kptr access")
int xchg_new_of_other_type(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	void *p;

	if (!s)
		return 0;
	p = bpf_obj_new(struct parcel);
	if (!p)
		return 0;
	p = bpf_kptr_xchg(&s->crate, p);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("doesn't point to kptr")
int xchg_not_a_kptr_field(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = (bpf_kptr_xchg)(&s->count, NULL);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("pointer arithmetic on map_value_or_null prohibited, null-check it first")
int xchg_field_of_unchecked_value(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	p = bpf_kptr_xchg(&s->parcel, NULL);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("doesn't have constant offset. kptr has to be at the constant offset")
int xchg_field_at_a_variable_offset(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;
	__u64 off = ctx->len & 8;

	if (!s)
		return 0;
	barrier_var(off);
	p = (bpf_kptr_xchg)((void *)s + 8 + off, NULL);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __accept
int xchg_field_at_a_constant_offset(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;
	__u64 off = 0;

	if (!s)
		return 0;
	barrier_var(off);
	p = (bpf_kptr_xchg)((void *)s + 8 + off, NULL);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("type=scalar expected=ptr_, trusted_ptr_, rcu_ptr_")
int xchg_a_number(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = bpf_kptr_xchg(&s->parcel, (void *)(long)ctx->len);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("type=ctx expected=ptr_, trusted_ptr_, rcu_ptr_")
int xchg_the_context(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = bpf_kptr_xchg(&s->parcel, (void *)ctx);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("type=fp expected=ptr_, trusted_ptr_, rcu_ptr_")
int xchg_stack(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p, local = {};

	if (!s)
		return 0;
	p = bpf_kptr_xchg(&s->parcel, &local);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("invalid kptr access")
int xchg_moved_pointer(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = bpf_obj_new(struct parcel);
	if (!p)
		return 0;
	p = bpf_kptr_xchg(&s->parcel, (void *)p + 8);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

/* The helper would take NULL, but the verifier knows no pointer that may be one or the other. */
SEC("tc") __accept __kernel_rejects("verifier bug: invalid PTR_TO_BTF_ID register for type match")
__reason("a bug of Linux, as it says itself: the helper takes NULL, and the type is the same")
int xchg_maybe_null(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = bpf_obj_new(struct parcel);
	p = bpf_kptr_xchg(&s->parcel, p);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

/* -------------------------------------------------------------------- other kinds of maps */

SEC("tc") __accept
int hash_xchg(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&hash);
	struct parcel *p;

	if (!s)
		return 0;
	p = bpf_kptr_xchg(&s->parcel, NULL);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int hash_xchg_leak(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&hash);

	if (!s)
		return 0;
	bpf_kptr_xchg(&s->parcel, NULL);
	return 0;
}

SEC("tc") __accept
int percpu_xchg(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&percpu);
	struct crate *p;

	if (!s)
		return 0;
	p = bpf_kptr_xchg(&s->crate, NULL);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("invalid kptr access")
int percpu_xchg_other_type(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&percpu);
	void *p;

	if (!s)
		return 0;
	p = bpf_obj_new(struct parcel);
	if (!p)
		return 0;
	p = bpf_kptr_xchg(&s->crate, p);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __accept
int percpu_of_other_cpu(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct shelf *s = bpf_map_lookup_percpu_elem(&percpu, &key, ctx->len & 1);
	struct crate *p;

	if (!s)
		return 0;
	p = bpf_kptr_xchg(&s->crate, NULL);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("invalid mem access 'map_value_or_null'")
int percpu_of_other_cpu_unchecked(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct shelf *s = bpf_map_lookup_percpu_elem(&percpu, &key, ctx->len & 1);

	s->count = 1;
	return 0;
}

SEC("tc") __accept
int inner_xchg(struct __sk_buff *ctx)
{
	void *map = shelf_of(&outer);
	struct shelf *s;
	struct parcel *p;

	if (!map)
		return 0;
	s = shelf_of(map);
	if (!s)
		return 0;
	p = bpf_kptr_xchg(&s->parcel, NULL);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("type=map_value_or_null expected=map_ptr")
int inner_map_unchecked(struct __sk_buff *ctx)
{
	void *map = shelf_of(&outer);
	struct shelf *s;
	struct parcel *p;

	s = shelf_of(map);
	if (!s)
		return 0;
	p = bpf_kptr_xchg(&s->parcel, NULL);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("pointer arithmetic on map_value_or_null prohibited, null-check it first")
int inner_value_unchecked(struct __sk_buff *ctx)
{
	void *map = shelf_of(&outer);
	struct shelf *s;
	struct parcel *p;

	if (!map)
		return 0;
	s = shelf_of(map);
	p = bpf_kptr_xchg(&s->parcel, NULL);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __accept
int inner_check_of_each_lookup(struct __sk_buff *ctx)
{
	void *map = shelf_of(&outer);
	struct shelf *s, *t;

	if (!map)
		return 0;
	s = shelf_of(map);
	t = shelf_of(map);
	if (!s || !t)
		return 0;
	t->count = 1;
	return 0;
}

SEC("tc") __reject("invalid mem access 'map_value_or_null'")
int inner_check_of_the_other_lookup(struct __sk_buff *ctx)
{
	void *map = shelf_of(&outer);
	struct shelf *s, *t;

	if (!map)
		return 0;
	s = shelf_of(map);
	t = shelf_of(map);
	if (!s)
		return 0;
	t->count = 1;
	return 0;
}

/* ------------------------------------------------------------------------ plain accesses */

SEC("tc") __accept
int plain_read(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = s->parcel;
	return p ? p->weight & 1 : 0;
}

SEC("tc") __reject("invalid mem access 'rcu_ptr_or_null_'")
int plain_read_unchecked(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = s->parcel;
	return p->weight & 1;
}

SEC("tc") __accept
int plain_read_then_write_through(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = s->parcel;
	if (p)
		p->weight = 1;
	return 0;
}

SEC("tc") __reject("must be referenced or trusted")
int plain_read_then_drop(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = s->parcel;
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("verifier bug: invalid PTR_TO_BTF_ID register for type match")
int plain_read_then_xchg(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = s->parcel;
	if (!p)
		return 0;
	p = bpf_kptr_xchg(&s->parcel, p);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("store to referenced kptr disallowed")
int plain_write(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);

	if (!s)
		return 0;
	*(struct parcel *volatile *)&s->parcel = (void *)ctx;
	return 0;
}

SEC("tc") __reject("store to referenced kptr disallowed")
int plain_write_of_null(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);

	if (!s)
		return 0;
	*(void *volatile *)&s->parcel = NULL;
	return 0;
}

SEC("tc") __accept
int plain_write_beside(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);

	if (!s)
		return 0;
	*(volatile __u64 *)&s->count = 0;
	return 0;
}

SEC("tc") __reject("kptr access size must be BPF_DW")
int plain_read_of_half(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);

	if (!s)
		return 0;
	return *(volatile __u32 *)&s->parcel & 1;
}

SEC("tc") __reject("kptr access misaligned")
int plain_read_across_fields(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);

	if (!s)
		return 0;
	return *(volatile __u32 *)((void *)s + 6) & 1;
}

SEC("tc") __reject("kptr access cannot have variable offset")
int plain_read_at_a_variable_offset(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);

	if (!s)
		return 0;
	return *((volatile __u64 *)s + (ctx->len & 1)) & 1;
}

SEC("tc") __reject("kptr")
int atomic_add(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);

	if (!s)
		return 0;
	__sync_fetch_and_add((__u64 *)&s->parcel, 1);
	return 0;
}

SEC("tc") __accept
int atomic_add_beside(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);

	if (!s)
		return 0;
	__sync_fetch_and_add(&s->count, 1);
	return 0;
}

/* A helper may not write over a field, nor read it. */
SEC("tc") __reject("kptr cannot be accessed indirectly by helper")
int helper_fills_value(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);

	if (!s)
		return 0;
	bpf_skb_load_bytes(ctx, 0, s, 16);
	return 0;
}

SEC("tc") __accept
int helper_fills_up_to_the_field(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);

	if (!s)
		return 0;
	bpf_skb_load_bytes(ctx, 0, s, 8);
	return 0;
}

SEC("tc") __accept
int update_of_a_value_with_kptrs(struct __sk_buff *ctx)
{
	struct shelf s = { .count = 1 };
	__u32 key = 0;

	bpf_map_update_elem(&hash, &key, &s, BPF_ANY);
	return 0;
}

SEC("tc") __reject("kptr cannot be accessed indirectly by helper")
int update_from_a_value_with_kptrs(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	__u32 key = 0;

	if (!s)
		return 0;
	bpf_map_update_elem(&hash, &key, s, BPF_ANY);
	return 0;
}

/* ------------------------------------------------------------------- references elsewhere */

SEC("tc") __accept
int owned_pointer_spilled(struct __sk_buff *ctx)
{
	struct parcel *volatile slot = bpf_obj_new(struct parcel);
	struct parcel *p;

	bpf_get_prandom_u32();
	p = slot;
	if (!p)
		return 0;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int owned_pointer_overwritten(struct __sk_buff *ctx)
{
	struct parcel *volatile slot = bpf_obj_new(struct parcel);
	struct parcel *p;

	slot = NULL;
	p = slot;
	if (!p)
		return 0;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int owned_pointer_to_map(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = bpf_obj_new(struct parcel);
	if (!p)
		return 0;
	s->count = (__u64)p;
	return 0;
}

/* Root may put a pointer's value into a map. */
SEC("tc") __accept
int owned_pointer_to_map_and_dropped(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = bpf_obj_new(struct parcel);
	if (!p)
		return 0;
	s->count = (__u64)p;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __accept
int copy_checked_instead(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel), *q = p;

	barrier_var(q);
	if (!q)
		return 0;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int copy_dropped_instead(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel), *q = p;

	barrier_var(q);
	if (!p)
		return 0;
	bpf_obj_drop(p);
	q->weight = 1;
	return 0;
}

static __noinline void give(struct parcel *p)
{
	bpf_obj_drop(p);
}

SEC("tc") __accept
int dropped_by_callee(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (p)
		give(p);
	return 0;
}

SEC("tc") __reject("Possibly NULL pointer passed")
int dropped_by_callee_unchecked(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	give(p);
	return 0;
}

/* ----------------------------------------------------------------------------- in loops */

SEC("tc") __accept
int dropped_by_callee_twice(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (p)
		give(p);
	p = bpf_obj_new(struct parcel);
	if (p)
		give(p);
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int dropped_by_callee_and_used(struct __sk_buff *ctx)
{
	struct parcel *p = bpf_obj_new(struct parcel);

	if (!p)
		return 0;
	give(p);
	p->weight = 1;
	return 0;
}

static __noinline struct parcel *take(struct shelf *s)
{
	return bpf_kptr_xchg(&s->parcel, NULL);
}

SEC("tc") __accept
int taken_by_callee(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = take(s);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int taken_by_callee_leak(struct __sk_buff *ctx)
{
	struct shelf *s = shelf_of(&array);
	struct parcel *p;

	if (!s)
		return 0;
	p = take(s);
	if (p)
		p->weight = 1;
	return 0;
}

/* The owner on the stack changes with each turn. */
SEC("tc") __accept
int carried_around_a_loop(struct __sk_buff *ctx)
{
	struct parcel *p = NULL;

	for (int i = 0; i < 8; i++) {
		if (p)
			bpf_obj_drop(p);
		p = bpf_obj_new(struct parcel);
	}
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int carried_around_a_loop_overwritten(struct __sk_buff *ctx)
{
	struct parcel *p = NULL;

	for (int i = 0; i < 8; i++)
		p = bpf_obj_new(struct parcel);
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("tc") __accept
int new_drop_in_a_loop(struct __sk_buff *ctx)
{
	struct parcel *p;

	for (int i = 0; i < 8; i++) {
		p = bpf_obj_new(struct parcel);
		if (!p)
			break;
		p->weight = i;
		bpf_obj_drop(p);
	}
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int new_drop_in_a_loop_break_loses(struct __sk_buff *ctx)
{
	struct parcel *p;

	for (int i = 0; i < 8; i++) {
		p = bpf_obj_new(struct parcel);
		if (!p)
			break;
		if (ctx->len == i)
			break;
		bpf_obj_drop(p);
	}
	return 0;
}
