/* SPDX-License-Identifier: Apache-2.0 */
/* The types of a kernel that has qdiscs and schedulers of programs, as far as the tests go. */
typedef unsigned long long u64;
typedef unsigned int u32;
typedef int s32;
typedef _Bool bool;

struct bpf_struct_ops_common_value { int refcnt; };
struct bpf_sk_buff_ptr { void *skb; };
struct qdisc_skb_cb { u32 len; unsigned char data[20]; };
struct nlattr { u32 nla_len; };
struct netlink_ext_ack { u32 cookie_len; };
struct sk_buff { u32 len; u32 hash; u64 tstamp; char cb[48]; };
struct qdisc_skb_head { u32 qlen; };
struct gnet_stats_queue { u32 qlen, backlog, drops; };
struct Qdisc { u32 flags; u32 limit; struct qdisc_skb_head q; struct gnet_stats_queue qstats; };
struct Qdisc_ops {
	int (*enqueue)(struct sk_buff *skb, struct Qdisc *sch, struct sk_buff **to_free);
	struct sk_buff *(*dequeue)(struct Qdisc *sch);
	struct sk_buff *(*peek)(struct Qdisc *sch);
	void (*reset)(struct Qdisc *sch);
	int (*init)(struct Qdisc *sch, struct nlattr *arg, struct netlink_ext_ack *extack);
	int owner;
};
struct bpf_struct_ops_Qdisc_ops { struct bpf_struct_ops_common_value common; struct Qdisc_ops data; };

struct sched_ext_entity { u32 weight; u64 slice; u64 dsq_vtime; bool disallow; };
struct task_struct { int pid; struct sched_ext_entity scx; };
struct sched_ext_ops {
	s32 (*select_cpu)(struct task_struct *p, s32 prev_cpu, u64 wake_flags);
	void (*running)(struct task_struct *p);
	void (*dispatch)(s32 cpu, struct task_struct *prev);
	s32 (*init)(void);
};
struct bpf_struct_ops_sched_ext_ops { struct bpf_struct_ops_common_value common; struct sched_ext_ops data; };

struct other_ops { int (*f)(int a); };
struct bpf_struct_ops_other_ops { struct bpf_struct_ops_common_value common; struct other_ops data; };

struct plain_ops { int (*f)(int a); };

int Qdisc_ops__enqueue(struct sk_buff *skb__ref, struct Qdisc *sch, struct sk_buff **to_free) { return 0; }
struct sk_buff *Qdisc_ops__dequeue(struct Qdisc *sch) { return 0; }
void sched_ext_ops__dispatch(s32 prev_cpu, struct task_struct *prev__nullable) {}
void bpf_kfree_skb(struct sk_buff *skb) {}
void bpf_kfree_skb_dtor(void *skb) {}
void bpf_qdisc_skb_drop(struct sk_buff *skb, struct bpf_sk_buff_ptr *to_free_list) {}
void bpf_qdisc_bstats_update(struct Qdisc *sch, const struct sk_buff *skb) {}
u32 bpf_skb_get_hash(struct sk_buff *skb) { return 0; }
s32 scx_bpf_create_dsq(u64 dsq_id, s32 node) { return 0; }
void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) {}

/* That their types are there. */
struct bpf_struct_ops_Qdisc_ops qdiscs;
struct bpf_struct_ops_sched_ext_ops schedulers;
struct bpf_struct_ops_other_ops others;
struct plain_ops plain;
struct qdisc_skb_cb block;
