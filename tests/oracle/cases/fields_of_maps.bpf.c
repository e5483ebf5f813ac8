/* SPDX-License-Identifier: Apache-2.0 */
/* Locks, lists and kptrs in values of maps of all types (map_check_btf). Where there can be none Linux takes the map
 * without its types, as libbpf asks for it then, and all that is in a value are bytes. */
#include "oracle.h"

struct plain {
	__u64 number;
};

__kptr_type(struct plain);

struct item {
	__u64 number;
	struct bpf_list_node link;
};

__kptr_type(struct item);

struct with_kptr {
	__u64 number;
	struct plain __kptr *kptr;
};

struct with_lock {
	struct bpf_spin_lock lock;
	__u64 number;
};

struct with_list {
	struct bpf_spin_lock lock;
	struct bpf_list_head head __contains(item, link);
};

struct with_count {
	struct bpf_refcount count;
	__u32 number;
	struct plain __kptr *kptr;
};

#define MAP(name, kind, of, bits)                              \
	struct {                                               \
		__uint(type, BPF_MAP_TYPE_##kind);             \
		__uint(max_entries, 4);                        \
		__uint(map_flags, bits);                       \
		__type(key, __u32);                            \
		__type(value, struct of);                      \
	} name SEC(".maps")

/* A trie has no keys of 4 bytes. */
#define TRIE(name, of)                                         \
	struct {                                               \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);           \
		__uint(max_entries, 4);                        \
		__uint(map_flags, 1);                          \
		__type(key, __u64);                            \
		__type(value, struct of);                      \
	} name SEC(".maps")

#define STORAGE(name, of)                                      \
	struct {                                               \
		__uint(type, BPF_MAP_TYPE_SK_STORAGE);         \
		__uint(map_flags, 1);                          \
		__type(key, int);                              \
		__type(value, struct of);                      \
	} name SEC(".maps")

static __always_inline int exchange(struct plain **kptr)
{
	struct plain *had = bpf_kptr_xchg(kptr, NULL);

	if (had)
		bpf_obj_drop(had);
	return 0;
}

static __always_inline int lock(struct with_lock *v)
{
	bpf_spin_lock(&v->lock);
	v->number++;
	bpf_spin_unlock(&v->lock);
	return 0;
}

static __always_inline int locked(struct with_lock *v)
{
	bpf_spin_lock(&v->lock);
	bpf_spin_unlock(&v->lock);
	return 0;
}

static __always_inline int pop(struct with_list *v)
{
	struct bpf_list_node *had;

	bpf_spin_lock(&v->lock);
	had = bpf_list_pop_front(&v->head);
	bpf_spin_unlock(&v->lock);
	if (had)
		bpf_obj_drop(container_of(had, struct item, link));
	return 0;
}

#define LOOKUP(verdict, name, map, key_type, of, use)                  \
	SEC("tc") verdict                                              \
	int name(struct __sk_buff *ctx)                                \
	{                                                              \
		key_type key = 0;                                      \
		struct of *v = bpf_map_lookup_elem(&map, &key);        \
                                                                       \
		return v ? use : 0;                                    \
	}

#define OF_SOCKET(verdict, name, map, of, use)                         \
	SEC("tc") verdict                                              \
	int name(struct __sk_buff *ctx)                                \
	{                                                              \
		struct bpf_sock *sk = ctx->sk;                         \
		struct of *v;                                          \
                                                                       \
		if (!sk)                                               \
			return 0;                                      \
		sk = bpf_sk_fullsock(sk);                              \
		if (!sk)                                               \
			return 0;                                      \
		v = bpf_sk_storage_get(&map, sk, NULL, 1);             \
		return v ? use : 0;                                    \
	}

#define RDONLY (1 << 7)
#define WRONLY (1 << 8)

/* ------------------------------------------------------------------------------ kptrs */

#define NO_KPTRS(map) __reject("map '" map "' has to have BTF in order to use bpf_kptr_xchg")
#define KPTR exchange(&v->kptr)

MAP(kptr_hash, HASH, with_kptr, 0);
MAP(kptr_array, ARRAY, with_kptr, 0);
MAP(kptr_lru, LRU_HASH, with_kptr, 0);
MAP(kptr_percpu, PERCPU_ARRAY, with_kptr, 0);
TRIE(kptr_trie, with_kptr);
STORAGE(kptr_storage, with_kptr);
MAP(kptr_read, HASH, with_kptr, RDONLY);
MAP(kptr_write, ARRAY, with_kptr, WRONLY);

LOOKUP(__accept, kptr_in_hash, kptr_hash, __u32, with_kptr, KPTR)
LOOKUP(__accept, kptr_in_array, kptr_array, __u32, with_kptr, KPTR)
LOOKUP(__accept, kptr_in_lru, kptr_lru, __u32, with_kptr, KPTR)
LOOKUP(__accept, kptr_in_percpu, kptr_percpu, __u32, with_kptr, KPTR)
LOOKUP(NO_KPTRS("kptr_trie"), kptr_in_trie, kptr_trie, __u64, with_kptr, KPTR)
OF_SOCKET(__accept, kptr_in_storage, kptr_storage, with_kptr, KPTR)
LOOKUP(NO_KPTRS("kptr_read"), kptr_in_read, kptr_read, __u32, with_kptr, KPTR)
LOOKUP(NO_KPTRS("kptr_write"), kptr_in_write, kptr_write, __u32, with_kptr, KPTR)

/* A kptr that is none is a number. */
LOOKUP(__accept, seen_in_hash, kptr_hash, __u32, with_kptr, v->kptr ? (int)v->kptr->number : 0)
LOOKUP(__reject("invalid mem access 'scalar'"), seen_in_trie, kptr_trie, __u64, with_kptr,
       v->kptr ? (int)v->kptr->number : 0)
LOOKUP(__reject("invalid mem access 'scalar'"), seen_in_read, kptr_read, __u32, with_kptr,
       v->kptr ? (int)v->kptr->number : 0)
LOOKUP(__accept, number_in_trie, kptr_trie, __u64, with_kptr, (int)(long)v->kptr)

/* ------------------------------------------------------------------------------ counts */

MAP(count_hash, HASH, with_count, 0);
TRIE(count_trie, with_count);

LOOKUP(__accept, kptr_beside_count, count_hash, __u32, with_count, KPTR)
LOOKUP(NO_KPTRS("count_trie"), kptr_beside_count_in_trie, count_trie, __u64, with_count, KPTR)

/* ------------------------------------------------------------------------------ locks */

#define NO_LOCKS(map) __reject("map '" map "' has to have BTF in order to use bpf_spin_lock")

MAP(lock_hash, HASH, with_lock, 0);
MAP(lock_array, ARRAY, with_lock, 0);
MAP(lock_lru, LRU_HASH, with_lock, 0);
MAP(lock_percpu, PERCPU_HASH, with_lock, 0);
TRIE(lock_trie, with_lock);
STORAGE(lock_storage, with_lock);
MAP(lock_read, HASH, with_lock, RDONLY);
MAP(lock_write, HASH, with_lock, WRONLY);

LOOKUP(__accept, lock_in_hash, lock_hash, __u32, with_lock, lock(v))
LOOKUP(__accept, lock_in_array, lock_array, __u32, with_lock, lock(v))
LOOKUP(NO_LOCKS("lock_lru"), lock_in_lru, lock_lru, __u32, with_lock, lock(v))
LOOKUP(NO_LOCKS("lock_percpu"), lock_in_percpu, lock_percpu, __u32, with_lock, lock(v))
LOOKUP(NO_LOCKS("lock_trie"), lock_in_trie, lock_trie, __u64, with_lock, lock(v))
OF_SOCKET(__accept, lock_in_storage, lock_storage, with_lock, lock(v))
LOOKUP(NO_LOCKS("lock_read"), lock_in_read, lock_read, __u32, with_lock, locked(v))
LOOKUP(NO_LOCKS("lock_write"), lock_in_write, lock_write, __u32, with_lock, locked(v))
LOOKUP(__accept, bytes_of_a_lock, lock_lru, __u32, with_lock, (v->lock.val = 1))

/* ------------------------------------------------------------------------------ lists */

MAP(list_hash, HASH, with_list, 0);
MAP(list_lru, LRU_HASH, with_list, 0);
MAP(list_write, ARRAY, with_list, WRONLY);

LOOKUP(__accept, list_in_hash, list_hash, __u32, with_list, pop(v))
LOOKUP(NO_LOCKS("list_lru"), list_in_lru, list_lru, __u32, with_list, pop(v))
LOOKUP(NO_LOCKS("list_write"), list_in_write, list_write, __u32, with_list, pop(v))
