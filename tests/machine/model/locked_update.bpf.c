/* SPDX-License-Identifier: Apache-2.0 */
/* Updates that take the value's lock (BPF_F_LOCK). */
#include <bpfheap.h>

char LICENSE[] SEC("license") = "GPL";

struct gem {
	__u64 weight;
};

struct val {
	__u64 n;
	struct bpf_spin_lock lock;
	struct gem __kptr *ptr;
};

struct plain {
	__u64 n;
};

#define MAP(name, kind, of)                                             \
struct {                                                                \
	__uint(type, BPF_MAP_TYPE_##kind);                              \
	__uint(max_entries, 2);                                         \
	__type(key, __u32);                                             \
	__type(value, struct of);                                       \
} name SEC(".maps")
MAP(array, ARRAY, val);
MAP(hash, HASH, val);
MAP(plain_array, ARRAY, plain);
MAP(plain_hash, HASH, plain);

#define UPDATE(name, map, of, at, flags)                                \
SEC("tc") int name(struct __sk_buff *ctx)                               \
{                                                                       \
	__u32 key = at;                                                 \
	struct of v = {};                                               \
                                                                        \
	v.n = ctx->len;                                                 \
	return bpf_map_update_elem(&map, &key, &v, flags);              \
}
UPDATE(array_any, array, val, 0, BPF_F_LOCK)
UPDATE(array_noexist, array, val, 0, BPF_F_LOCK | BPF_NOEXIST)
UPDATE(array_exist, array, val, 0, BPF_F_LOCK | BPF_EXIST)
UPDATE(array_beyond, array, val, 7, BPF_F_LOCK)
UPDATE(array_unknown, array, val, 0, 8)
UPDATE(hash_any, hash, val, 0, BPF_F_LOCK)
UPDATE(hash_noexist, hash, val, 0, BPF_F_LOCK | BPF_NOEXIST)
UPDATE(hash_exist, hash, val, 1, BPF_F_LOCK | BPF_EXIST)
UPDATE(plain_array_any, plain_array, plain, 0, BPF_F_LOCK)
UPDATE(plain_array_noexist, plain_array, plain, 0, BPF_F_LOCK | BPF_NOEXIST)
UPDATE(plain_hash_any, plain_hash, plain, 0, BPF_F_LOCK)

#define OBJECTS(map)                                                    \
SEC("tc") int map##_put(struct __sk_buff *ctx)                          \
{                                                                       \
	__u32 key = 0;                                                  \
	struct val *v = bpf_map_lookup_elem(&map, &key);                \
	struct gem *g;                                                  \
                                                                        \
	if (!v)                                                         \
		return -1;                                              \
	g = bpf_obj_new(struct gem);                                    \
	if (!g)                                                         \
		return -1;                                              \
	g = bpf_kptr_xchg(&v->ptr, g);                                  \
	if (g)                                                          \
		bpf_obj_drop(g);                                        \
	return 0;                                                       \
}                                                                       \
/* The number, and 1000 more if there is an object. */                  \
SEC("tc") int map##_take(struct __sk_buff *ctx)                         \
{                                                                       \
	__u32 key = 0;                                                  \
	struct val *v = bpf_map_lookup_elem(&map, &key);                \
	struct gem *g;                                                  \
	int n;                                                          \
                                                                        \
	if (!v)                                                         \
		return -1;                                              \
	bpf_spin_lock(&v->lock);                                        \
	n = v->n;                                                       \
	bpf_spin_unlock(&v->lock);                                      \
	g = bpf_kptr_xchg(&v->ptr, NULL);                               \
	if (!g)                                                         \
		return n;                                               \
	bpf_obj_drop(g);                                                \
	return n + 1000;                                                \
}
OBJECTS(array)
OBJECTS(hash)
