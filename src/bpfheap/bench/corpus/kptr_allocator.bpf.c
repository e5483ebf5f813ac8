/* SPDX-License-Identifier: Apache-2.0 */
/* Typed objects from an allocator map of their own. */
#include "corpus.h"

struct session {
	__u64 opened_ns;
	__u64 bytes;
	__u32 user;
};

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct session);
	__uint(max_entries, 1000);
} sessions_heap SEC(".maps");

struct holder {
	struct session *session __kptr __local;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1000);
	__type(key, __u64);
	__type(value, struct holder);
} sessions SEC(".maps");

SEC("tc")
int kptr_allocator(struct __sk_buff *skb)
{
	__u64 key = skb->hash;
	struct holder *holder = bpf_map_lookup_elem(&sessions, &key);
	struct session *session;

	if (!holder)
		return TC_ACT_OK;
	session = bpf_kptr_xchg(&holder->session, NULL);
	if (!session) {
		session = bpf_mem_alloc(&sessions_heap, type_id_local(struct session));
		if (!session)
			return TC_ACT_SHOT;
		session->opened_ns = bpf_ktime_get_ns();
		session->user = skb->mark;
	}
	session->bytes += skb->len;
	if (session->bytes > 1 << 20) {
		unit_free(session);
		return TC_ACT_SHOT;
	}
	session = bpf_kptr_xchg(&holder->session, session);
	if (session)
		unit_free(session);
	return TC_ACT_OK;
}
