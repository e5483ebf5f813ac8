/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that own objects, and pointers that are only looked at. */
#include "oracle.h"

struct pea {
	__u64 colour;
};

struct pod {
	__u64 length;
	struct pea __kptr *pea;
};

struct plant {
	__u64 height;
	struct pod __kptr *pod;
	struct pod __kptr *other;
};

struct bed {
	__u64 rows;
	struct plant __kptr *plant;
	struct pea __kptr *pea;
};

__kptr_type(struct pea);
__kptr_type(struct pod);
__kptr_type(struct plant);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct bed);
} beds SEC(".maps");

static __always_inline struct bed *a_bed(void)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(&beds, &key);
}

/* ------------------------------------------------------------------------ into an object */

SEC("tc") __accept
int store_in_new_object(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);
	struct pea *pea;

	if (!pod)
		return 0;
	pea = bpf_obj_new(struct pea);
	if (!pea)
		goto out;
	pea = bpf_kptr_xchg(&pod->pea, pea);
	if (pea)
		bpf_obj_drop(pea);
out:
	bpf_obj_drop(pod);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int store_in_new_object_old_lost(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);
	struct pea *pea;

	if (!pod)
		return 0;
	pea = bpf_obj_new(struct pea);
	if (!pea)
		goto out;
	bpf_kptr_xchg(&pod->pea, pea);
out:
	bpf_obj_drop(pod);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int store_in_new_object_that_leaks(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);
	struct pea *pea;

	if (!pod)
		return 0;
	pea = bpf_obj_new(struct pea);
	if (!pea)
		goto out;
	pea = bpf_kptr_xchg(&pod->pea, pea);
	if (pea)
		bpf_obj_drop(pea);
	return 0;
out:
	bpf_obj_drop(pod);
	return 0;
}

SEC("tc") __reject("invalid kptr access")
int store_of_other_type_in_object(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);
	void *plant;

	if (!pod)
		return 0;
	plant = bpf_obj_new(struct plant);
	if (!plant)
		goto out;
	plant = bpf_kptr_xchg(&pod->pea, plant);
	if (plant)
		bpf_obj_drop(plant);
out:
	bpf_obj_drop(pod);
	return 0;
}

SEC("tc") __reject("doesn't point to kptr")
int store_in_plain_member_of_object(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);
	struct pea *pea;

	if (!pod)
		return 0;
	pea = (bpf_kptr_xchg)(&pod->length, NULL);
	if (pea)
		bpf_obj_drop(pea);
	bpf_obj_drop(pod);
	return 0;
}

SEC("tc") __accept
int take_from_object(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);
	struct pea *pea;

	if (!pod)
		return 0;
	pea = bpf_kptr_xchg(&pod->pea, NULL);
	bpf_obj_drop(pod);
	if (pea)
		bpf_obj_drop(pea);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int take_from_object_lost(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);

	if (!pod)
		return 0;
	bpf_kptr_xchg(&pod->pea, NULL);
	bpf_obj_drop(pod);
	return 0;
}

SEC("tc") __reject("type=scalar expected=map_value, ptr_")
int take_from_dropped_object(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);
	struct pea *pea;

	if (!pod)
		return 0;
	bpf_obj_drop(pod);
	pea = bpf_kptr_xchg(&pod->pea, NULL);
	if (pea)
		bpf_obj_drop(pea);
	return 0;
}

SEC("tc") __reject("pointer arithmetic on ptr_or_null_ prohibited, null-check it")
int take_from_unchecked_object(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);
	struct pea *pea = bpf_kptr_xchg(&pod->pea, NULL);

	if (pea)
		bpf_obj_drop(pea);
	if (pod)
		bpf_obj_drop(pod);
	return 0;
}

SEC("tc") __accept
int chain_of_three(struct __sk_buff *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant;
	struct pod *pod;
	struct pea *pea;

	if (!bed)
		return 0;
	plant = bpf_kptr_xchg(&bed->plant, NULL);
	if (!plant)
		return 0;
	pod = bpf_kptr_xchg(&plant->pod, NULL);
	bpf_obj_drop(plant);
	if (!pod)
		return 0;
	pea = bpf_kptr_xchg(&pod->pea, NULL);
	bpf_obj_drop(pod);
	if (!pea)
		return 0;
	bpf_obj_drop(pea);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int chain_of_three_middle_lost(struct __sk_buff *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant;
	struct pod *pod;
	struct pea *pea;

	if (!bed)
		return 0;
	plant = bpf_kptr_xchg(&bed->plant, NULL);
	if (!plant)
		return 0;
	pod = bpf_kptr_xchg(&plant->pod, NULL);
	bpf_obj_drop(plant);
	if (!pod)
		return 0;
	pea = bpf_kptr_xchg(&pod->pea, NULL);
	if (!pea)
		return 0;
	bpf_obj_drop(pod);
	bpf_obj_drop(pea);
	return 0;
}

SEC("tc") __accept
int moved_between_two_fields(struct __sk_buff *ctx)
{
	struct plant *plant = bpf_obj_new(struct plant);
	struct pod *pod;

	if (!plant)
		return 0;
	pod = bpf_kptr_xchg(&plant->pod, NULL);
	if (pod) {
		pod = bpf_kptr_xchg(&plant->other, pod);
		if (pod)
			bpf_obj_drop(pod);
	}
	bpf_obj_drop(plant);
	return 0;
}

SEC("tc") __accept
int object_with_contents_to_map(struct __sk_buff *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant;
	struct pod *pod;

	if (!bed)
		return 0;
	plant = bpf_obj_new(struct plant);
	if (!plant)
		return 0;
	pod = bpf_obj_new(struct pod);
	if (!pod) {
		bpf_obj_drop(plant);
		return 0;
	}
	pod = bpf_kptr_xchg(&plant->pod, pod);
	if (pod)
		bpf_obj_drop(pod);
	plant = bpf_kptr_xchg(&bed->plant, plant);
	if (plant)
		bpf_obj_drop(plant);
	return 0;
}

SEC("tc") __reject("type=scalar expected=map_value, ptr_")
int object_stored_then_used_inside(struct __sk_buff *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant, *old;
	struct pod *pod;

	if (!bed)
		return 0;
	plant = bpf_obj_new(struct plant);
	if (!plant)
		return 0;
	old = bpf_kptr_xchg(&bed->plant, plant);
	if (old)
		bpf_obj_drop(old);
	pod = bpf_kptr_xchg(&plant->pod, NULL);
	if (pod)
		bpf_obj_drop(pod);
	return 0;
}

SEC("tc") __accept
int object_used_inside_then_stored(struct __sk_buff *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant, *old;
	struct pod *pod;

	if (!bed)
		return 0;
	plant = bpf_obj_new(struct plant);
	if (!plant)
		return 0;
	pod = bpf_kptr_xchg(&plant->pod, NULL);
	if (pod)
		bpf_obj_drop(pod);
	old = bpf_kptr_xchg(&bed->plant, plant);
	if (old)
		bpf_obj_drop(old);
	return 0;
}

/* -------------------------------------------------------- plain accesses to kptr members */

SEC("tc") __accept
int read_plain_member(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);
	__u64 length;

	if (!pod)
		return 0;
	length = *(volatile __u64 *)&pod->length;
	bpf_obj_drop(pod);
	return length & 1;
}

SEC("tc") __reject("direct access to kptr is disallowed")
int write_kptr_member(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);

	if (!pod)
		return 0;
	*(void *volatile *)&pod->pea = NULL;
	bpf_obj_drop(pod);
	return 0;
}

SEC("tc") __accept
int write_plain_member(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);

	if (!pod)
		return 0;
	*(volatile __u64 *)&pod->length = 0;
	bpf_obj_drop(pod);
	return 0;
}

SEC("tc") __reject("direct access to kptr is disallowed")
int read_kptr_member(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);
	__u64 pea;

	if (!pod)
		return 0;
	pea = *(volatile __u64 *)&pod->pea;
	bpf_obj_drop(pod);
	return pea & 1;
}

SEC("tc") __reject("direct access to kptr is disallowed")
int read_half_of_kptr_member(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);
	__u32 pea;

	if (!pod)
		return 0;
	pea = *(volatile __u32 *)&pod->pea;
	bpf_obj_drop(pod);
	return pea & 1;
}

SEC("tc") __reject("direct access to kptr is disallowed")
int follow_kptr_member(struct __sk_buff *ctx)
{
	struct pod *pod = bpf_obj_new(struct pod);
	struct pea *volatile *field;
	__u64 colour = 0;
	struct pea *pea;

	if (!pod)
		return 0;
	field = (void *)&pod->pea;
	pea = *field;
	if (pea)
		colour = *(volatile __u64 *)&pea->colour;
	bpf_obj_drop(pod);
	return colour & 1;
}

/* ------------------------------------------------------------- pointers merely looked at */

SEC("tc") __accept
int look_into_map(struct __sk_buff *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant;

	if (!bed)
		return 0;
	plant = bed->plant;
	if (!plant)
		return 0;
	return plant->height & 1;
}

SEC("tc") __reject("access beyond struct pea at off 8 size 8")
int look_past_the_end(struct __sk_buff *ctx)
{
	struct bed *bed = a_bed();
	struct pea *pea;

	if (!bed)
		return 0;
	pea = bed->pea;
	if (!pea)
		return 0;
	return *((volatile __u64 *)pea + 1) & 1;
}

SEC("tc") __accept
int look_at_the_end(struct __sk_buff *ctx)
{
	struct bed *bed = a_bed();
	struct pea *pea;

	if (!bed)
		return 0;
	pea = bed->pea;
	if (!pea)
		return 0;
	return *(volatile __u64 *)pea & 1;
}

SEC("tc") __reject("type=rcu_ptr_ expected=map_value, ptr_")
int look_then_xchg_inside(struct __sk_buff *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant;
	struct pod *pod;

	if (!bed)
		return 0;
	plant = bed->plant;
	if (!plant)
		return 0;
	pod = bpf_kptr_xchg(&plant->pod, NULL);
	if (pod)
		bpf_obj_drop(pod);
	return 0;
}

SEC("tc") __accept
int take_then_xchg_inside(struct __sk_buff *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant;
	struct pod *pod;

	if (!bed)
		return 0;
	plant = bpf_kptr_xchg(&bed->plant, NULL);
	if (!plant)
		return 0;
	pod = bpf_kptr_xchg(&plant->pod, NULL);
	if (pod)
		bpf_obj_drop(pod);
	bpf_obj_drop(plant);
	return 0;
}

SEC("syscall") __accept
int sleepable_look(void *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant;

	if (!bed)
		return 0;
	plant = bed->plant;
	if (!plant)
		return 0;
	return plant->height & 1;
}

/* Nobody keeps an object alive that a sleeping program merely saw. */
SEC("syscall") __reject("only read is supported")
int sleepable_look_then_write(void *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant;

	if (!bed)
		return 0;
	plant = bed->plant;
	if (plant)
		plant->height = 1;
	return 0;
}

SEC("tc") __accept
int look_then_write(struct __sk_buff *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant;

	if (!bed)
		return 0;
	plant = bed->plant;
	if (plant)
		plant->height = 1;
	return 0;
}

SEC("syscall") __reject("must be referenced or trusted")
int sleepable_look_then_drop(void *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant;

	if (!bed)
		return 0;
	plant = bed->plant;
	if (plant)
		bpf_obj_drop(plant);
	return 0;
}

SEC("syscall") __accept
int sleepable_take_then_drop(void *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant;

	if (!bed)
		return 0;
	plant = bpf_kptr_xchg(&bed->plant, NULL);
	if (plant)
		bpf_obj_drop(plant);
	return 0;
}

SEC("syscall") __accept
int sleepable_look_unchecked_not_used(void *ctx)
{
	struct bed *bed = a_bed();

	if (!bed)
		return 0;
	use(*(volatile __u64 *)&bed->plant);
	return 0;
}

/* It is a pointer, maybe NULL: no number to calculate with. */
SEC("syscall") __reject("pointer arithmetic")
int sleepable_look_calculated_with(void *ctx)
{
	struct bed *bed = a_bed();
	__u32 low;

	if (!bed)
		return 0;
	low = *(volatile __u64 *)&bed->plant;
	barrier_var(low);
	return low & 1;
}

SEC("syscall") __reject("invalid mem access 'untrusted_ptr_or_null_'")
int sleepable_look_unchecked(void *ctx)
{
	struct bed *bed = a_bed();

	if (!bed)
		return 0;
	return bed->plant->height & 1;
}

/* Probed memory cannot fault, but has the object's size all the same. */
SEC("syscall") __accept
int sleepable_look_at_the_end(void *ctx)
{
	struct bed *bed = a_bed();
	struct pea *pea;

	if (!bed)
		return 0;
	pea = bed->pea;
	if (!pea)
		return 0;
	use(*(volatile __u64 *)pea);
	return 0;
}

SEC("syscall") __reject("access beyond struct pea at off 8 size 8")
int sleepable_look_past_the_end(void *ctx)
{
	struct bed *bed = a_bed();
	struct pea *pea;

	if (!bed)
		return 0;
	pea = bed->pea;
	if (!pea)
		return 0;
	return *((volatile __u64 *)pea + 1) & 1;
}

SEC("syscall") __reject("is ptr_plant invalid variable offset")
int sleepable_look_moved(void *ctx)
{
	struct bed *bed = a_bed();
	struct plant *plant;
	__u64 n;

	if (!bed)
		return 0;
	plant = bed->plant;
	if (!plant)
		return 0;
	n = bed->rows & 8;
	barrier_var(n);
	return *(volatile __u64 *)((void *)plant + n) & 1;
}
