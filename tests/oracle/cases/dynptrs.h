/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's functions for dynptrs, as its BTF has them. */
#ifndef __DYNPTRS_H__
#define __DYNPTRS_H__

#include "oracle.h"

extern int bpf_dynptr_from_skb(struct __sk_buff *s, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_skb_meta(struct __sk_buff *s, __u64 flags,
				    struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *x, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, __u64 offset, void *buffer,
			      __u64 size) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, __u64 offset, void *buffer,
				   __u64 size) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *p, __u64 start, __u64 end) __ksym;
extern _Bool bpf_dynptr_is_null(const struct bpf_dynptr *p) __ksym;
extern _Bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p) __ksym;
extern __u64 bpf_dynptr_size(const struct bpf_dynptr *p) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone) __ksym;
extern int bpf_dynptr_copy(struct bpf_dynptr *dst, __u64 dst_off, struct bpf_dynptr *src,
			   __u64 src_off, __u64 size) __ksym;
extern int bpf_dynptr_memset(struct bpf_dynptr *p, __u64 offset, __u64 size, __u8 val) __ksym;
extern int bpf_probe_read_kernel_dynptr(struct bpf_dynptr *p, __u64 off, __u64 size,
					const void *from) __ksym;
extern int bpf_copy_from_user_dynptr(struct bpf_dynptr *p, __u64 off, __u64 size,
				     const void *from) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} records SEC(".maps");

struct entry {
	__u64 data[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct entry);
} array SEC(".maps");

__u8 bytes[64];
__u32 length;

#endif /* __DYNPTRS_H__ */
