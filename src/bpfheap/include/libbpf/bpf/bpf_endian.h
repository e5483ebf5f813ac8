/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_endian.h - numbers of the network, which has the highest byte first. */
#ifndef __BPF_ENDIAN__
#define __BPF_ENDIAN__

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ___bpf_swapped(bits, x) ((__u##bits)__builtin_bswap##bits(x))
#define ___bpf_same(bits, x) (x)
#define bpf_be_swap ___bpf_swapped
#define bpf_le_swap ___bpf_same
#else
#define ___bpf_swapped(bits, x) ((__u##bits)__builtin_bswap##bits(x))
#define ___bpf_same(bits, x) (x)
#define bpf_be_swap ___bpf_same
#define bpf_le_swap ___bpf_swapped
#endif

#define bpf_htons(x) bpf_be_swap(16, x)
#define bpf_ntohs(x) bpf_be_swap(16, x)
#define bpf_htonl(x) bpf_be_swap(32, x)
#define bpf_ntohl(x) bpf_be_swap(32, x)
#define bpf_cpu_to_be64(x) bpf_be_swap(64, x)
#define bpf_be64_to_cpu(x) bpf_be_swap(64, x)

#define __bpf_htons(x) bpf_htons(x)
#define __bpf_ntohs(x) bpf_ntohs(x)
#define __bpf_htonl(x) bpf_htonl(x)
#define __bpf_ntohl(x) bpf_ntohl(x)
#define __bpf_constant_htons(x) bpf_htons(x)
#define __bpf_constant_ntohs(x) bpf_ntohs(x)
#define __bpf_constant_htonl(x) bpf_htonl(x)
#define __bpf_constant_ntohl(x) bpf_ntohl(x)

#endif /* __BPF_ENDIAN__ */
