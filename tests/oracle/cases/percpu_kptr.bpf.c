/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that exist once per CPU, and the fields that own them. */
#include "oracle.h"

struct tally {
	__u64 packets;
	__u32 bytes;
	__u32 errors;
};

struct wide {
	__u64 word[8];
};

struct linked {
	__u64 value;
	struct bpf_list_node node;
};

struct slot {
	__u64 id;
	struct tally __percpu_kptr *tally;
	struct wide __percpu_kptr *wide;
	struct tally __kptr *plain;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

static __always_inline struct slot *a_slot(void)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(&slots, &key);
}

/* bpf_kptr_xchg() of bpfheap.h is for plain kptrs: here the types carry a tag. */
#define xchg(field, object) ((void *)(bpf_kptr_xchg)(field, (void *)(object)))

SEC("tc") __accept
int new_drop(struct __sk_buff *ctx)
{
	struct tally __percpu_kptr *t = bpf_percpu_obj_new(struct tally);

	if (!t)
		return 0;
	bpf_percpu_obj_drop(t);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int new_leak(struct __sk_buff *ctx)
{
	struct tally __percpu_kptr *t = bpf_percpu_obj_new(struct tally);

	return t ? 1 : 0;
}

SEC("tc") __reject("Possibly NULL pointer passed to trusted arg0")
int drop_unchecked(struct __sk_buff *ctx)
{
	struct tally __percpu_kptr *t = bpf_percpu_obj_new(struct tally);

	bpf_percpu_obj_drop(t);
	return 0;
}

SEC("tc") __reject("must be referenced or trusted")
int drop_twice(struct __sk_buff *ctx)
{
	struct tally __percpu_kptr *t = bpf_percpu_obj_new(struct tally);

	if (!t)
		return 0;
	bpf_percpu_obj_drop(t);
	bpf_percpu_obj_drop(t);
	return 0;
}

SEC("tc") __reject("arg#0 expected for bpf_percpu_obj_drop_impl")
int drop_with_the_plain_drop(struct __sk_buff *ctx)
{
	struct tally __percpu_kptr *t = bpf_percpu_obj_new(struct tally);

	if (!t)
		return 0;
	bpf_obj_drop((void *)t);
	return 0;
}

SEC("tc") __reject("arg#0 expected for bpf_obj_drop_impl")
int drop_of_plain_with_the_percpu_drop(struct __sk_buff *ctx)
{
	struct tally *t = bpf_obj_new(struct tally);

	if (!t)
		return 0;
	bpf_percpu_obj_drop(t);
	return 0;
}

SEC("tc") __reject("is ptr_tally access percpu memory: off=0")
int direct_access(struct __sk_buff *ctx)
{
	struct tally __percpu_kptr *t = bpf_percpu_obj_new(struct tally);

	if (!t)
		return 0;
	t->packets = 1;
	bpf_percpu_obj_drop(t);
	return 0;
}

/* Only what is seen in a map, under RCU, has a part for each CPU. */
SEC("tc") __reject("type=percpu_ptr_ expected=percpu_ptr_, percpu_rcu_ptr_,")
int this_cpu_of_a_new_object(struct __sk_buff *ctx)
{
	struct tally __percpu_kptr *t = bpf_percpu_obj_new(struct tally);
	struct tally *mine;

	if (!t)
		return 0;
	mine = bpf_this_cpu_ptr((void *)t);
	mine->packets = 1;
	bpf_percpu_obj_drop(t);
	return 0;
}

SEC("tc") __reject("type=ptr_ expected=percpu_ptr_,")
int cpu_of_a_plain_object(struct __sk_buff *ctx)
{
	struct tally *t = bpf_obj_new(struct tally), *mine;

	if (!t)
		return 0;
	mine = bpf_this_cpu_ptr(t);
	mine->packets = 1;
	bpf_obj_drop(t);
	return 0;
}

SEC("tc") __reject("bpf_percpu_obj_new type ID argument must not contain special")
int struct_with_special_members(struct __sk_buff *ctx)
{
	struct linked __percpu_kptr *l = bpf_percpu_obj_new(struct linked);

	if (!l)
		return 0;
	bpf_percpu_obj_drop(l);
	return 0;
}

SEC("tc") __accept
int struct_without_special_members(struct __sk_buff *ctx)
{
	struct wide __percpu_kptr *w = bpf_percpu_obj_new(struct wide);

	if (!w)
		return 0;
	bpf_percpu_obj_drop(w);
	return 0;
}

/* ------------------------------------------------------------------------------ in a map */

SEC("tc") __accept
int store(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	struct tally __percpu_kptr *t;

	if (!s)
		return 0;
	t = bpf_percpu_obj_new(struct tally);
	if (!t)
		return 0;
	t = xchg(&s->tally, t);
	if (t)
		bpf_percpu_obj_drop(t);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int store_old_lost(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	struct tally __percpu_kptr *t;

	if (!s)
		return 0;
	t = bpf_percpu_obj_new(struct tally);
	if (!t)
		return 0;
	xchg(&s->tally, t);
	return 0;
}

SEC("tc") __reject("invalid kptr access")
int store_percpu_in_plain_field(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	struct tally __percpu_kptr *t;

	if (!s)
		return 0;
	t = bpf_percpu_obj_new(struct tally);
	if (!t)
		return 0;
	t = xchg(&s->plain, t);
	if (t)
		bpf_obj_drop((void *)t);
	return 0;
}

SEC("tc") __reject("invalid kptr access")
int store_other_type(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	void *t;

	if (!s)
		return 0;
	t = (void *)bpf_percpu_obj_new(struct tally);
	if (!t)
		return 0;
	t = xchg(&s->wide, t);
	if (t)
		bpf_percpu_obj_drop(t);
	return 0;
}

SEC("tc") __accept
int take(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	void *t;

	if (!s)
		return 0;
	t = xchg(&s->tally, NULL);
	if (t)
		bpf_percpu_obj_drop(t);
	return 0;
}

SEC("tc") __reject("arg#0 expected for bpf_percpu_obj_drop_impl")
int take_then_plain_drop(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	void *t;

	if (!s)
		return 0;
	t = xchg(&s->tally, NULL);
	if (t)
		bpf_obj_drop(t);
	return 0;
}

SEC("tc") __accept
int look(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	struct tally *mine;
	void *t;

	if (!s)
		return 0;
	t = (void *)s->tally;
	if (!t)
		return 0;
	mine = bpf_this_cpu_ptr(t);
	mine->packets++;
	return 0;
}

SEC("tc") __reject("type=percpu_rcu_ptr_or_null_ expected=percpu_ptr_,")
int look_unchecked(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	struct tally *mine;

	if (!s)
		return 0;
	mine = bpf_this_cpu_ptr((void *)s->tally);
	mine->packets++;
	return 0;
}

SEC("tc") __reject("must be referenced or trusted")
int look_then_drop(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	void *t;

	if (!s)
		return 0;
	t = (void *)s->tally;
	if (t)
		bpf_percpu_obj_drop(t);
	return 0;
}

SEC("tc") __reject("is ptr_tally access percpu memory: off=0")
int look_direct_access(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	struct tally __percpu_kptr *t;

	if (!s)
		return 0;
	t = s->tally;
	if (!t)
		return 0;
	return *(volatile __u64 *)&((struct tally *)t)->packets & 1;
}

SEC("syscall") __accept
int sleepable_look_inside_a_section(void *ctx)
{
	struct slot *s = a_slot();
	struct tally *mine;
	void *t;

	if (!s)
		return 0;
	bpf_rcu_read_lock();
	t = (void *)s->tally;
	if (t) {
		mine = bpf_this_cpu_ptr(t);
		mine->packets++;
	}
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __reject("type=untrusted_ptr_ expected=percpu_ptr_,")
int sleepable_look_outside_a_section(void *ctx)
{
	struct slot *s = a_slot();
	struct tally *mine;
	void *t;

	if (!s)
		return 0;
	t = (void *)s->tally;
	if (t) {
		mine = bpf_this_cpu_ptr(t);
		mine->packets++;
	}
	return 0;
}

SEC("tc") __accept
int look_at_the_end(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	struct tally *mine;
	void *t;

	if (!s)
		return 0;
	t = (void *)s->tally;
	if (!t)
		return 0;
	mine = bpf_this_cpu_ptr(t);
	mine->errors++;
	return 0;
}

SEC("tc") __reject("access beyond struct tally")
int look_past_the_end(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	struct tally *mine;
	void *t;

	if (!s)
		return 0;
	t = (void *)s->tally;
	if (!t)
		return 0;
	mine = bpf_this_cpu_ptr(t);
	mine[1].packets++;
	return 0;
}

SEC("syscall") __reject("verifier bug: ref_obj_id for allocated object must be non-zero")
int sleepable_used_after_the_section(void *ctx)
{
	struct slot *s = a_slot();
	struct tally *mine;
	void *t;

	if (!s)
		return 0;
	bpf_rcu_read_lock();
	t = (void *)s->tally;
	if (!t) {
		bpf_rcu_read_unlock();
		return 0;
	}
	mine = bpf_this_cpu_ptr(t);
	bpf_rcu_read_unlock();
	mine->packets++;
	return 0;
}

SEC("tc") __accept
int look_at_other_cpu(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	struct tally *its;
	void *t;

	if (!s)
		return 0;
	t = (void *)s->tally;
	if (!t)
		return 0;
	its = bpf_per_cpu_ptr(t, 0);
	if (its)
		its->packets++;
	return 0;
}

SEC("tc") __accept
int look_at_any_cpu(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	struct tally *its;
	void *t;

	if (!s)
		return 0;
	t = (void *)s->tally;
	if (!t)
		return 0;
	its = bpf_per_cpu_ptr(t, bpf_get_prandom_u32());
	if (its)
		its->packets++;
	return 0;
}

SEC("tc") __accept
int sum_over_cpus(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	struct tally *its;
	__u64 sum = 0;
	void *t;
	int cpu;

	if (!s)
		return 0;
	t = (void *)s->tally;
	if (!t)
		return 0;
	bpf_for(cpu, 0, 8) {
		its = bpf_per_cpu_ptr(t, cpu);
		if (!its)
			break;
		sum += its->packets;
	}
	return sum & 1;
}
