/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs of the corpus share: a license, macros that write code many times over, and
 * those names of the kernel that bpfheap.h does not declare.
 */
#ifndef __CORPUS_H__
#define __CORPUS_H__

#include <bpfheap.h>

char LICENSE[] SEC("license") = "GPL";

/* A global of a data section of its own: the kernel wants locks and what they guard in one map. */
#define private(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))

/* The value is used, and from here on the compiler knows nothing of it. */
#define opaque(value) asm volatile("" : "+r"(value))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define bpf_htons(x) __builtin_bswap16(x)
#define bpf_ntohs(x) __builtin_bswap16(x)
#define bpf_htonl(x) __builtin_bswap32(x)
#define bpf_ntohl(x) __builtin_bswap32(x)

/* ------------------------------------------------------------- the same thing many times */

#define TIMES_4(m, n) m(n) m(n + 1) m(n + 2) m(n + 3)
#define TIMES_16(m, n) TIMES_4(m, n) TIMES_4(m, n + 4) TIMES_4(m, n + 8) TIMES_4(m, n + 12)
#define TIMES_64(m, n) \
	TIMES_16(m, n) TIMES_16(m, n + 16) TIMES_16(m, n + 32) TIMES_16(m, n + 48)
#define TIMES_256(m, n) \
	TIMES_64(m, n) TIMES_64(m, n + 64) TIMES_64(m, n + 128) TIMES_64(m, n + 192)
#define TIMES_1024(m, n) \
	TIMES_256(m, n) TIMES_256(m, n + 256) TIMES_256(m, n + 512) TIMES_256(m, n + 768)

/* ------------------------------------------------------------------------- packet headers */

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

/* vmlinux.h has the kernel's own. */
#ifndef __VMLINUX_H__

struct ethhdr {
	__u8 h_dest[6];
	__u8 h_source[6];
	__u16 h_proto;
} __attribute__((packed));

struct vlan_hdr {
	__u16 tci;
	__u16 proto;
};

struct iphdr {
	__u8 ihl : 4, version : 4;
	__u8 tos;
	__u16 tot_len;
	__u16 id;
	__u16 frag_off;
	__u8 ttl;
	__u8 protocol;
	__u16 check;
	__u32 saddr;
	__u32 daddr;
};

struct ipv6hdr {
	__u32 flow;
	__u16 payload_len;
	__u8 nexthdr;
	__u8 hop_limit;
	__u32 saddr[4];
	__u32 daddr[4];
};

#endif /* no vmlinux.h */

struct ports {
	__u16 source;
	__u16 dest;
};

#endif /* __CORPUS_H__ */
