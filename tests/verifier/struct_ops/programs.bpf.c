/* SPDX-License-Identifier: Apache-2.0 */
/* Programs for the kernel of kernel.bpf.c: their tags say the verdict. Linux 7.2 says the same. */
#include <bpfheap.h>

#define CORE __attribute__((preserve_access_index))
#define OPS SEC("struct_ops")
#define __accept __attribute__((btf_decl_tag("accept")))
#define __reject(message) __attribute__((btf_decl_tag("reject:" message)))
#define __unsupported(message) __attribute__((btf_decl_tag("unsupported:" message)))

char LICENSE[] SEC("license") = "GPL";

struct sk_buff { __u32 len; __u64 tstamp; char cb[48]; } CORE;
struct bpf_sk_buff_ptr { void *skb; } CORE;
struct qdisc_skb_head { __u32 qlen; } CORE;
struct gnet_stats_queue { __u32 backlog; } CORE;
struct Qdisc { __u32 flags; __u32 limit; struct qdisc_skb_head q; struct gnet_stats_queue qstats; } CORE;
struct sched_ext_entity { __u32 weight; __u64 slice; } CORE;
struct task_struct { int pid; struct sched_ext_entity scx; } CORE;

struct Qdisc_ops {
	int (*enqueue)(struct sk_buff *skb, struct Qdisc *sch, struct sk_buff **to_free);
	struct sk_buff *(*dequeue)(struct Qdisc *sch);
	struct sk_buff *(*peek)(struct Qdisc *sch);
	void (*reset)(struct Qdisc *sch);
	int (*init)(struct Qdisc *sch, void *arg, void *extack);
	int (*later)(void);
	int (*owner)(void);
};
struct sched_ext_ops {
	int (*select_cpu)(struct task_struct *p, int prev_cpu, __u64 wake_flags);
	void (*running)(struct task_struct *p);
	void (*dispatch)(int cpu, struct task_struct *prev);
	int (*init)(void);
};
struct other_ops { int (*f)(int a); };
struct plain_ops { int (*f)(int a); };
struct no_ops { int (*f)(int a); };

extern void bpf_kfree_skb(struct sk_buff *skb) __ksym;
extern void bpf_qdisc_skb_drop(struct sk_buff *skb, struct bpf_sk_buff_ptr *to_free) __ksym;
extern void bpf_qdisc_bstats_update(struct Qdisc *sch, const struct sk_buff *skb) __ksym;
extern int scx_bpf_create_dsq(__u64 dsq_id, int node) __ksym;
extern void scx_bpf_dsq_insert(struct task_struct *p, __u64 id, __u64 slice, __u64 flags) __ksym;

struct slot { struct sk_buff *skb __kptr; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct slot);
	__uint(max_entries, 1);
} kept SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} others SEC(".maps");

#define IS(struct_, member_, program)                                                         \
	SEC(".struct_ops.link") struct struct_ program##_ops = { .member_ = (void *)program }
#define QDISC(member, program) IS(Qdisc_ops, member, program)
#define SCHED(member, program) IS(sched_ext_ops, member, program)

#define SKB ((struct sk_buff *)ctx[0])
#define SCH ((struct Qdisc *)ctx[1])
#define FREED ((struct bpf_sk_buff_ptr *)ctx[2])
#define TASK ((struct task_struct *)ctx[0])

OPS __accept int drops(__u64 *ctx) { bpf_qdisc_skb_drop(SKB, FREED); return 0; }
QDISC(enqueue, drops);

OPS __reject("BPF_EXIT instruction in main prog would lead to reference leak")
int leaks(__u64 *ctx) { return 0; }
QDISC(enqueue, leaks);

OPS __reject("BPF_EXIT instruction in main prog would lead to reference leak")
int returns_its_argument(__u64 *ctx) { return ctx[0]; }
QDISC(enqueue, returns_its_argument);

OPS __reject("invalid bpf_context access off=0. Reference may already be released")
int reads_it_again(__u64 *ctx) { bpf_kfree_skb(SKB); return SKB->len; }
QDISC(enqueue, reads_it_again);

OPS __accept int reads_it_before(__u64 *ctx) { int len = SKB->len; bpf_kfree_skb(SKB); return len; }
QDISC(enqueue, reads_it_before);

OPS __reject("program with __ref argument cannot tail call") int jumps(__u64 *ctx)
{ bpf_kfree_skb(SKB); bpf_tail_call(ctx, &others, 0); return 0; }
QDISC(enqueue, jumps);

OPS __accept int jumps_without(__u64 *ctx) { bpf_tail_call(ctx, &others, 0); return 0; }
QDISC(reset, jumps_without);

OPS __accept int keeps(__u64 *ctx)
{
	__u32 key = 0;
	struct sk_buff *skb = SKB;
	struct slot *slot = bpf_map_lookup_elem(&kept, &key);

	if (slot) {
		SCH->q.qlen++;
		SCH->qstats.backlog += skb->len;
		skb = bpf_kptr_xchg(&slot->skb, skb);
	}
	if (skb)
		bpf_kfree_skb(skb);
	return 0;
}
QDISC(enqueue, keeps);

#define WRITES(verdict, name, expression)                                                     \
	OPS verdict int name(__u64 *ctx) { expression; bpf_kfree_skb(SKB); return 0; }        \
	QDISC(enqueue, name)

WRITES(__accept, writes_cb, SKB->cb[4] = 1);
WRITES(__reject("no write support to sk_buff at off 16"), writes_its_length, SKB->cb[0] = 1);
WRITES(__reject("no write support to sk_buff at off 0"), writes_len, SKB->len = 1);
WRITES(__accept, writes_tstamp, SKB->tstamp = 1);
WRITES(__accept, writes_limit, SCH->limit = 1);
WRITES(__reject("no write support to Qdisc at off 0"), writes_flags, SCH->flags = 1);
WRITES(__reject("only read is supported"), writes_the_list, FREED->skb = 0);

#define DEQUEUES(verdict, name, body)                                                         \
	OPS verdict struct sk_buff *name(__u64 *ctx)                                          \
	{                                                                                     \
		__u32 key = 0;                                                                \
		struct Qdisc *sch = (struct Qdisc *)ctx[0];                                   \
		struct slot *slot = bpf_map_lookup_elem(&kept, &key);                         \
		struct sk_buff *skb;                                                          \
		if (!slot)                                                                    \
			return 0;                                                             \
		body                                                                          \
	}                                                                                     \
	QDISC(dequeue, name)

DEQUEUES(__accept, gives, {
	skb = bpf_kptr_xchg(&slot->skb, 0);
	if (skb) bpf_qdisc_bstats_update(sch, skb);
	return skb;
});
DEQUEUES(__accept, gives_or_null, { return bpf_kptr_xchg(&slot->skb, 0); });
DEQUEUES(__reject("dereference of modified ptr_ ptr R0 off=8 disallowed"), gives_a_part, {
	skb = bpf_kptr_xchg(&slot->skb, 0);
	return skb ? (void *)skb + 8 : 0;
});
DEQUEUES(__reject("At program exit the register R0 has smin=1 smax=1 should have been in [0, 0]"),
	 gives_a_number, { return (void *)1; });
DEQUEUES(__reject("At program exit the register R0 is not a known value (trusted_ptr_)"),
	 gives_another, { return (void *)sch; });
DEQUEUES(__reject("calling kernel function bpf_qdisc_skb_drop is not allowed"), drops_here, {
	skb = bpf_kptr_xchg(&slot->skb, 0);
	if (skb) bpf_qdisc_skb_drop(skb, 0);
	return 0;
});

OPS __reject("attach to unsupported member peek of struct Qdisc_ops")
struct sk_buff *peeks(__u64 *ctx) { return 0; }
QDISC(peek, peeks);

OPS __reject("member later of struct Qdisc_ops is not found in kernel BTF")
int is_later(__u64 *ctx) { return 0; }
QDISC(later, is_later);

OPS __reject("attach to invalid member owner(@idx 5) of struct Qdisc_ops")
int is_no_function(__u64 *ctx) { return 0; }
QDISC(owner, is_no_function);

OPS __reject("struct no_ops is not found in kernel BTF") int is_nowhere(__u64 *ctx) { return 0; }
IS(no_ops, f, is_nowhere);

OPS __reject("is not a supported struct") int is_plain(__u64 *ctx) { return 0; }
IS(plain_ops, f, is_plain);

OPS __unsupported("does not know what programs may do that are functions of struct other_ops")
int is_another(__u64 *ctx) { return 0; }
IS(other_ops, f, is_another);

/* Linux accepts it: its stub does not say that there may be no options. */
OPS __reject("R1 invalid mem access 'trusted_ptr_or_null_'") int reads_options(__u64 *ctx)
{ return *(__u32 *)ctx[1]; }
QDISC(init, reads_options);

OPS __accept int asks_for_options(__u64 *ctx) { return ctx[1] ? *(__u32 *)ctx[1] : 0; }
QDISC(init, asks_for_options);

OPS __accept int runs(__u64 *ctx) { TASK->scx.slice = 1; return 0; }
SCHED(running, runs);

OPS __reject("no write support to task_struct at off 8") int weighs(__u64 *ctx)
{ TASK->scx.weight = 1; return 0; }
SCHED(running, weighs);

OPS __reject("R1 invalid mem access 'trusted_ptr_or_null_'") int dispatches(__u64 *ctx)
{ return ((struct task_struct *)ctx[1])->pid; }
SCHED(dispatch, dispatches);

OPS __accept int inserts(__u64 *ctx) { scx_bpf_dsq_insert(TASK, 1, 2, 3); return 0; }
SCHED(running, inserts);

SEC("struct_ops.s") __accept int begins(__u64 *ctx) { return scx_bpf_create_dsq(1, -1); }
SCHED(init, begins);

OPS __reject("program must be sleepable to call sleepable kfunc scx_bpf_create_dsq")
int begins_awake(__u64 *ctx) { return scx_bpf_create_dsq(1, -1); }
SCHED(init, begins_awake);

SEC("struct_ops.s") __reject("attach to unsupported member running of struct sched_ext_ops")
int runs_asleep(__u64 *ctx) { return 0; }
SCHED(running, runs_asleep);

OPS __reject("reruns is for sched_ext_ops.dispatch and sched_ext_ops.running, and may be for one")
int reruns(__u64 *ctx) { return 0; }
SCHED(running, reruns);
SEC(".struct_ops") struct sched_ext_ops twice = { .dispatch = (void *)reruns };
