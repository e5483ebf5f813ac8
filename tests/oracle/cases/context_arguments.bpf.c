/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts that programs of several types pass to global functions: by which names, with a tag or
 * without one. */
#include "oracle.h"

struct pt_regs {
	unsigned long words[21];
};
typedef struct pt_regs bpf_user_pt_regs_t;
typedef struct pt_regs other_name_t;

/* As programs declare it that run on kernels without the typedef, too. */
struct bpf_user_pt_regs_t {
};

struct sk_buff {
	int number;
};

struct something {
	__u64 number;
};

#define CASE(name, verdict, section, type, tag)                                               \
	__weak __noinline int name##_function(type *ctx tag)                                  \
	{                                                                                     \
		use(ctx);                                                                     \
		return 1;                                                                     \
	}                                                                                     \
	SEC(section) verdict int name(void *ctx)                                              \
	{                                                                                     \
		return name##_function(ctx) & 1;                                              \
	}

#define NOTHING
#define NO_CTX __reject("Caller passes invalid args")
#define TAGGED_OTHER(what) __reject("should be `struct " what " *`")

CASE(kprobe_typedef, __accept, "kprobe", bpf_user_pt_regs_t, NOTHING)
CASE(kprobe_const_typedef, __accept, "kprobe", const bpf_user_pt_regs_t, NOTHING)
CASE(kprobe_struct, __accept, "kprobe", struct pt_regs, NOTHING)
CASE(kprobe_other_typedef, __accept, "kprobe", other_name_t, NOTHING)
CASE(kprobe_old_struct, __accept, "kprobe", struct bpf_user_pt_regs_t, NOTHING)
CASE(kprobe_something, NO_CTX, "kprobe", struct something, NOTHING)
CASE(kprobe_tagged_typedef, __accept, "kprobe", bpf_user_pt_regs_t, __arg_ctx)
CASE(kprobe_tagged_void, __accept, "kprobe", void, __arg_ctx)
CASE(kprobe_tagged_something, TAGGED_OTHER("pt_regs"), "kprobe", struct something, __arg_ctx)
CASE(kprobe_tagged_number, TAGGED_OTHER("pt_regs"), "kprobe", __u64, __arg_ctx)

CASE(perf_event_typedef, NO_CTX, "perf_event", bpf_user_pt_regs_t, NOTHING)
CASE(perf_event_old_struct, NO_CTX, "perf_event", struct bpf_user_pt_regs_t, NOTHING)
CASE(perf_event_struct, NO_CTX, "perf_event", struct pt_regs, NOTHING)
CASE(perf_event_own, __accept, "perf_event", struct bpf_perf_event_data, NOTHING)
CASE(perf_event_tagged_typedef, __accept, "perf_event", bpf_user_pt_regs_t, __arg_ctx)
CASE(perf_event_tagged_struct, __accept, "perf_event", struct pt_regs, __arg_ctx)
CASE(perf_event_tagged_own, __accept, "perf_event", struct bpf_perf_event_data, __arg_ctx)
CASE(perf_event_tagged_something, TAGGED_OTHER("bpf_perf_event_data"), "perf_event",
     struct something, __arg_ctx)

CASE(raw_tp_own, __accept, "raw_tp", struct bpf_raw_tracepoint_args, NOTHING)
CASE(raw_tp_number, NO_CTX, "raw_tp", __u64, NOTHING)
CASE(raw_tp_tagged_number, __accept, "raw_tp", __u64, __arg_ctx)
CASE(raw_tp_tagged_short_number, TAGGED_OTHER("bpf_raw_tracepoint_args"), "raw_tp", __u32,
     __arg_ctx)
CASE(raw_tp_w_tagged_number, __accept, "raw_tp.w", __u64, __arg_ctx)

CASE(tracepoint_untagged, NO_CTX, "tp", struct something, NOTHING)
CASE(tracepoint_tagged, __accept, "tp", struct something, __arg_ctx)
CASE(syscall_tagged, __accept, "syscall", struct something, __arg_ctx)
CASE(syscall_tagged_number, __accept, "syscall", __u32, __arg_ctx)

CASE(tc_own, __accept, "tc", struct __sk_buff, NOTHING)
CASE(tc_kernels, __accept, "tc", struct sk_buff, NOTHING)
CASE(tc_tagged_kernels, TAGGED_OTHER("__sk_buff"), "tc", struct sk_buff, __arg_ctx)
CASE(tc_of_xdp, NO_CTX, "tc", struct xdp_md, NOTHING)
CASE(tc_tagged_nonnull, __reject("invalid combination of tags"), "tc", struct __sk_buff,
     __arg_ctx __arg_nonnull)
CASE(tc_nonnull, __reject("invalid combination of tags"), "tc", struct __sk_buff, __arg_nonnull)
CASE(action_own, __accept, "action", struct __sk_buff, NOTHING)

CASE(sockops_own, __accept, "sockops", struct bpf_sock_ops, NOTHING)
CASE(sk_msg_own, __accept, "sk_msg", struct sk_msg_md, NOTHING)
CASE(sk_lookup_own, __accept, "sk_lookup", struct bpf_sk_lookup, NOTHING)
CASE(sk_reuseport_own, __accept, "sk_reuseport", struct sk_reuseport_md, NOTHING)
CASE(netfilter_own, __accept, "netfilter", struct bpf_nf_ctx, NOTHING)
CASE(lwt_own, __accept, "lwt_xmit", struct __sk_buff, NOTHING)
CASE(cgroup_sock_own, __accept, "cgroup/sock", struct bpf_sock, NOTHING)
CASE(cgroup_bind_own, __accept, "cgroup/bind4", struct bpf_sock_addr, NOTHING)
CASE(cgroup_dev_own, __accept, "cgroup/dev", struct bpf_cgroup_dev_ctx, NOTHING)
CASE(cgroup_sysctl_own, __accept, "cgroup/sysctl", struct bpf_sysctl, NOTHING)
CASE(cgroup_sockopt_own, __accept, "cgroup/setsockopt", struct bpf_sockopt, NOTHING)
CASE(cgroup_sockopt_of_sysctl, NO_CTX, "cgroup/setsockopt", struct bpf_sysctl, NOTHING)
