/* SPDX-License-Identifier: Apache-2.0 */
/* Objects with a copy for each CPU, used well and badly; run without the verifier. */
#include <bpfheap.h>

char LICENSE[] SEC("license") = "GPL";

struct tally {
	__u64 packets;
	__u32 errors;
};

struct large {
	__u64 words[65];
};

struct locked {
	struct bpf_spin_lock lock;
};

struct slot {
	struct tally __percpu_kptr *tally;
	struct tally __kptr *plain;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

#define PROGRAM(name, ...)                                              \
SEC("tc") int name(struct __sk_buff *ctx)                               \
{                                                                       \
	__u32 zero = 0;                                                 \
	struct slot *s = bpf_map_lookup_elem(&slots, &zero);            \
	struct tally *mine, *t;                                         \
	__u64 found = 0;                                                \
	if (!s)                                                         \
		return -1;                                              \
	{ __VA_ARGS__ }                                                 \
	return found;                                                   \
}
#define NEW (void *)bpf_percpu_obj_new(struct tally)
#define XCHG(field, object) (void *)bpf_kptr_xchg(&s->field, object)

PROGRAM(store, t = NEW; if (t) t = XCHG(tally, t); if (t) bpf_percpu_obj_drop(t);)
PROGRAM(count, t = (void *)s->tally; if (t) { mine = bpf_this_cpu_ptr(t); found = ++mine->packets; })
PROGRAM(sum,
	t = (void *)s->tally;
	for (__u32 cpu = 0; t && (mine = bpf_per_cpu_ptr(t, cpu)); cpu++)
		found = found * 100 + mine->packets;)
PROGRAM(take, t = XCHG(tally, NULL); if (t) bpf_percpu_obj_drop(t);)
PROGRAM(slow, t = (void *)s->tally;
	if (t) { mine = bpf_this_cpu_ptr(t); bpf_get_smp_processor_id(); found = ++mine->packets; })

PROGRAM(lost, t = NEW;)
PROGRAM(touch, t = NEW; if (t) *(volatile __u64 *)&t->packets = 1;)
PROGRAM(past, t = NEW; if (t) { mine = bpf_this_cpu_ptr(t); *(volatile __u64 *)&mine[1] = 1; })
PROGRAM(before, t = NEW; if (t) { mine = bpf_per_cpu_ptr(t, 1); *(volatile __u64 *)&mine[-1] = 1; })
PROGRAM(plain_drop, t = NEW; if (t) bpf_obj_drop(t);)
PROGRAM(percpu_drop, t = bpf_obj_new(struct tally); if (t) bpf_percpu_obj_drop(t);)
PROGRAM(plain_copy, t = bpf_obj_new(struct tally); if (t) bpf_this_cpu_ptr(t);)
PROGRAM(null_copy, bpf_this_cpu_ptr(NULL);)
PROGRAM(inside, t = NEW; if (t) bpf_this_cpu_ptr((void *)t + 8);)
PROGRAM(to_plain, t = NEW; if (t) t = XCHG(plain, t);)
PROGRAM(from_plain, t = bpf_obj_new(struct tally); if (t) t = XCHG(tally, t);)
PROGRAM(twice, t = NEW; if (t) { bpf_percpu_obj_drop(t); bpf_percpu_obj_drop(t); })
PROGRAM(drop_seen, t = (void *)s->tally; if (t) bpf_percpu_obj_drop(t);)
PROGRAM(too_large, t = (void *)bpf_percpu_obj_new(struct large);)
PROGRAM(special, t = (void *)bpf_percpu_obj_new(struct locked);)
