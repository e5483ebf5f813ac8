/* SPDX-License-Identifier: Apache-2.0 */
/* Drops DNS queries for domains on a list, or below one that is. */
#include "corpus.h"

#define NAME 96
#define LABELS 8
#define DNS_PORT 53

struct dns_header {
	__u16 id;
	__u16 flags;
	__u16 questions;
	__u16 answers;
	__u16 authorities;
	__u16 additional;
};

struct udphdr {
	__u16 source;
	__u16 dest;
	__u16 len;
	__u16 check;
};

struct domain {
	__u32 action;
	__u32 types;
	__u64 hits;
	__u64 last_ns;
};

enum what { OUTSIDE, INSIDE, BEGIN };

struct query {
	__u32 labels;
	__u32 end;
	/* So much of the current label is still to come. */
	__u32 left;
	/* What is here; OUTSIDE behind the end. */
	__u8 what[NAME];
	__u8 name[NAME];
};

struct client {
	__u64 queries;
	__u64 blocked;
	__u64 broken;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct domain);
} domains SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct query);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct client);
} clients SEC(".maps");

enum action { PASS, COUNT, DROP };

static __always_inline struct client *client_of(__u32 address)
{
	struct client none = {}, *found = bpf_map_lookup_elem(&clients, &address);

	if (found)
		return found;
	bpf_map_update_elem(&clients, &address, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&clients, &address);
}

/* Where do labels begin, and where is the end? The name is in small letters afterwards. */
static __always_inline int split(struct query *query)
{
	query->labels = query->left = 0;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < NAME; i++) {
		__u8 c = query->name[i];

		/* Kept in memory, where no verifier tells one number from another. */
		barrier();
		if (query->left) {
			query->left--;
			query->what[i] = INSIDE;
			if (c >= 'A' && c <= 'Z')
				query->name[i] = c + ('a' - 'A');
			continue;
		}
		if (!c) {
			query->end = i;
			return 0;
		}
		/* Pointers have no place in a question. */
		if (c > 63 || query->labels >= LABELS)
			return -1;
		query->what[i] = BEGIN;
		query->labels++;
		query->left = c;
	}
	return -1;
}

/* From the last label to the first: what is below a domain has all of its name behind it. */
static __always_inline struct domain *find(struct query *query, __u16 type)
{
	__u64 hash = 0xcbf29ce484222325ULL;

#pragma clang loop unroll(disable)
	for (int i = NAME - 1; i >= 0; i--) {
		struct domain *domain;

		if (query->what[i] == OUTSIDE)
			continue;
		hash = (hash ^ query->name[i]) * 0x100000001b3ULL;
		if (query->what[i] != BEGIN)
			continue;
		domain = bpf_map_lookup_elem(&domains, &hash);
		if (!domain)
			continue;
		if (!domain->types || domain->types >> (bpf_ntohs(type) & 31) & 1)
			return domain;
	}
	return NULL;
}

SEC("tc")
int dns_filter(struct __sk_buff *skb)
{
	__u32 key = 0, offset = sizeof(struct ethhdr), size;
	struct query *query = bpf_map_lookup_elem(&scratch, &key);
	struct dns_header dns;
	struct client *client;
	struct domain *domain;
	struct iphdr ip;
	struct udphdr udp;
	__u16 type;

	if (!query || skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)) || ip.protocol != IPPROTO_UDP)
		return TC_ACT_OK;
	if (ip.ihl < 5 || ip.frag_off & bpf_htons(0x1fff))
		return TC_ACT_OK;
	offset += ip.ihl * 4;
	if (bpf_skb_load_bytes(skb, offset, &udp, sizeof(udp)) || udp.dest != bpf_htons(DNS_PORT))
		return TC_ACT_OK;
	offset += sizeof(udp);
	client = client_of(ip.saddr);
	if (!client)
		return TC_ACT_OK;
	client->queries++;
	if (bpf_skb_load_bytes(skb, offset, &dns, sizeof(dns)))
		goto broken;
	/* An answer, or an operation other than a query. */
	if (dns.flags & bpf_htons(0xf800))
		return TC_ACT_OK;
	if (dns.questions != bpf_htons(1))
		goto broken;
	offset += sizeof(dns);

	if (skb->len <= offset)
		goto broken;
	size = skb->len - offset;
	opaque(size);
	if (!size)
		goto broken;
	if (size > NAME)
		size = NAME;
	__builtin_memset(query->what, 0, sizeof(query->what));
	if (bpf_skb_load_bytes(skb, offset, query->name, size))
		goto broken;
	if (split(query))
		goto broken;
	if (bpf_skb_load_bytes(skb, offset + query->end + 1, &type, sizeof(type)))
		goto broken;

	domain = find(query, type);
	if (!domain)
		return TC_ACT_OK;
	__sync_fetch_and_add(&domain->hits, 1);
	domain->last_ns = bpf_ktime_get_ns();
	if (domain->action == DROP) {
		client->blocked++;
		return TC_ACT_SHOT;
	}
	return TC_ACT_OK;
broken:
	client->broken++;
	return TC_ACT_SHOT;
}
