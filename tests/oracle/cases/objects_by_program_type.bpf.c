/* SPDX-License-Identifier: Apache-2.0 */
/* Which programs may make objects (generic_kfunc_set), and call functions that are not static. */
#include "oracle.h"

struct plain {
	__u64 number;
};

#define MAKES(section, name)                                      \
	SEC(section) int name(void *ctx)                          \
	{                                                         \
		struct plain *object = bpf_obj_new(struct plain); \
                                                                  \
		if (object)                                       \
			bpf_obj_drop(object);                     \
		return 0;                                         \
	}

#define NOT __reject("calling kernel function bpf_obj_new_impl is not allowed")

__accept MAKES("tc", in_tc)
__accept MAKES("xdp", in_xdp)
__accept MAKES("syscall", in_syscall)
__accept MAKES("cgroup_skb/egress", in_cgroup_skb)
__accept MAKES("sockops", in_sock_ops)
__accept MAKES("tracepoint", in_tracepoint)
__accept MAKES("perf_event", in_perf_event)
NOT MAKES("kprobe", in_kprobe)
NOT MAKES("raw_tp", in_raw_tp)
NOT MAKES("socket", in_socket)
NOT MAKES("action", in_action)
NOT MAKES("sk_skb", in_sk_skb)
NOT MAKES("flow_dissector", in_flow_dissector)

__weak __noinline long for_all(__u64 index, void *ctx __arg_ctx)
{
	return 0;
}

static long only_here(__u64 index, void *ctx)
{
	return 0;
}

SEC("tc") __reject("callback function not static")
int calls_a_global_function_back(struct __sk_buff *ctx)
{
	bpf_loop(4, (void *)for_all, NULL, 0);
	return 0;
}

SEC("tc") __accept
int calls_a_static_function_back(struct __sk_buff *ctx)
{
	bpf_loop(4, only_here, NULL, 0);
	return 0;
}
