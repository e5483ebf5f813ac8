/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of maps by the type of the program, and Linux does not ask of the maps in them, and of objects. */
#include "oracle.h"

struct value {
	struct bpf_spin_lock lock;
	__u64 number;
};

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps");

static __always_inline struct value *found(void)
{
	__u32 key = 0;
	void *inner = bpf_map_lookup_elem(&outer, &key);

	return inner ? bpf_map_lookup_elem(inner, &key) : NULL;
}

static __always_inline int lock(struct value *v)
{
	if (!v)
		return 0;
	bpf_spin_lock(&v->lock);
	v->number++;
	bpf_spin_unlock(&v->lock);
	return 0;
}

#define LOCKS(section, name)                    \
	SEC(section) int name(void *ctx)        \
	{                                       \
		return lock(found());           \
	}

#define TAKES                                                                             \
	__kernel_accepts __reason("what the program interrupts may hold the lock; Linux " \
				  "looks at maps that are named alone")
#define TRACING __reject("tracing progs cannot use bpf_spin_lock yet") TAKES
#define FILTER __reject("socket filter progs cannot use bpf_spin_lock yet") TAKES

__accept LOCKS("tc", lock_for_tc)
__accept LOCKS("xdp", lock_for_xdp)
__accept LOCKS("cgroup_skb/egress", lock_for_cgroup_skb)
TRACING LOCKS("kprobe", lock_for_kprobe)
TRACING LOCKS("tracepoint", lock_for_tracepoint)
TRACING LOCKS("raw_tp", lock_for_raw_tp)
TRACING LOCKS("perf_event", lock_for_perf_event)
FILTER LOCKS("socket", lock_for_socket)

SEC("kprobe") __accept
int value_for_kprobe(void *ctx)
{
	struct value *v = found();

	return v ? (int)v->number : 0;
}

/* ---------------------------------------------------------------------------- objects */

struct shared {
	struct bpf_spin_lock lock;
	__u32 number;
	struct bpf_refcount refs;
};

#define LOCKS_OBJECT(section, name, of)                          \
	SEC(section) int name(void *ctx)                         \
	{                                                        \
		struct of *object = bpf_obj_new(struct of);      \
                                                                 \
		if (!object)                                     \
			return 0;                                \
		bpf_spin_lock(&object->lock);                    \
		object->number++;                                \
		bpf_spin_unlock(&object->lock);                  \
		bpf_obj_drop(object);                            \
		return 0;                                        \
	}

__accept LOCKS_OBJECT("tc", shared_for_tc, shared)
TRACING LOCKS_OBJECT("perf_event", shared_for_perf_event, shared)
__accept LOCKS_OBJECT("perf_event", own_for_perf_event, value)

/* ----------------------------------------------------------------- programs that sleep */

struct inner_trie {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4);
	__uint(map_flags, 1);
	__type(key, __u64);
	__type(value, __u64);
};

struct inner_hash {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u64);
	__type(value, __u64);
};

#define OUTER(name, of)                                \
	struct {                                       \
		__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); \
		__uint(max_entries, 4);                \
		__type(key, __u32);                    \
		__array(values, struct of);            \
	} name SEC(".maps")

OUTER(tries, inner_trie);
OUTER(hashes, inner_hash);

#define LOOKS_UP(section, name, map)                                     \
	SEC(section) int name(void *ctx)                                 \
	{                                                                \
		__u32 key = 0;                                           \
		__u64 inner_key = 8, *value;                             \
		void *inner = bpf_map_lookup_elem(&map, &key);           \
                                                                         \
		value = inner ? bpf_map_lookup_elem(inner, &inner_key) : NULL; \
		return value ? (int)*value : 0;                          \
	}

__accept LOOKS_UP("syscall", hash_for_sleeping, hashes)
__reject("Sleepable programs can only use array, hash, ringbuf and local storage maps")
__kernel_accepts __reason("no RCU section keeps what is found in a trie; Linux looks at the outer map alone")
LOOKS_UP("syscall", trie_for_sleeping, tries)
__accept LOOKS_UP("tc", trie_for_tc, tries)
