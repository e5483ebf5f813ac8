/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps tags on processes: a child has those of its parents, as far up as an ancestor is known. */
#include "kernel.h"

#define ANCESTORS 32
#define RULES 8
#define PF_KTHREAD 0x00200000

struct node {
	__u64 started_ns;
	__u32 parent;
	__u32 depth;
	__u64 tags;
	__u32 children;
	__u32 threads;
	char comm[16];
};

struct rule {
	char comm[16];
	__u64 sets;
	__u64 clears;
	__u32 children;
	__u32 depth;
};

struct alarm_event {
	__u64 tags;
	__u32 pid;
	__u32 depth;
	__u32 lineage[ANCESTORS];
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, struct node);
} nodes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RULES);
	__type(key, __u32);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 17);
} alarms SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct alarm_event);
} scratch SEC(".maps");

const volatile __u64 alarm_tags = 0xff00000000000000ULL;

static __always_inline int same_name(const char *a, const char *b)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < 16; i++) {
		if (a[i] != b[i])
			return 0;
		if (!a[i])
			break;
	}
	return 1;
}

/* The nearest ancestor that is known; fills in the lineage on the way. */
static __always_inline struct node *known_ancestor(struct task_struct *task, __u32 *lineage,
						   __u32 *steps)
{
	struct node *found = NULL;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < ANCESTORS; i++) {
		struct task_struct *parent = kernel_read(task, real_parent);
		__u32 pid = kernel_read(parent, tgid);

		if (parent == task || !pid)
			break;
		lineage[i] = pid;
		*steps = i + 1;
		if (!found)
			found = bpf_map_lookup_elem(&nodes, &pid);
		task = parent;
	}
	return found;
}

/* Verified once, apart from its caller, since it does not care where a node comes from. */
__noinline int apply_rules(struct node *node)
{
	if (!node)
		return 0;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < RULES; i++) {
		__u32 key = i;
		struct rule *rule = bpf_map_lookup_elem(&rules, &key);

		if (!rule || !rule->comm[0])
			break;
		if (!same_name(rule->comm, node->comm))
			continue;
		if (rule->depth && node->depth > rule->depth)
			continue;
		node->tags = (node->tags & ~rule->clears) | rule->sets;
	}
	return 0;
}

SEC("raw_tp/sched_process_fork")
int process_tree(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (void *)ctx->args[0], *child = (void *)ctx->args[1];
	__u32 pid = kernel_read(child, tgid), steps = 0, key = 0;
	struct alarm_event *alarm = bpf_map_lookup_elem(&scratch, &key);
	struct node node = {}, *above;

	if (!alarm || kernel_read(child, flags) & PF_KTHREAD)
		return 0;
	above = bpf_map_lookup_elem(&nodes, &pid);
	if (above && kernel_read(child, pid) != pid) {
		/* Another thread of a process that is known. */
		__sync_fetch_and_add(&above->threads, 1);
		return 0;
	}
	above = known_ancestor(child, alarm->lineage, &steps);
	node.started_ns = kernel_read(child, start_time);
	node.parent = kernel_read(parent, tgid);
	node.depth = steps;
	bpf_probe_read_kernel_str(node.comm, sizeof(node.comm), child->comm);
	if (above) {
		node.tags = above->tags;
		__sync_fetch_and_add(&above->children, 1);
	}
	apply_rules(&node);
	bpf_map_update_elem(&nodes, &pid, &node, BPF_ANY);

	if (!(node.tags & alarm_tags))
		return 0;
	alarm->tags = node.tags;
	alarm->pid = pid;
	alarm->depth = node.depth;
	__builtin_memcpy(alarm->comm, node.comm, sizeof(alarm->comm));
	bpf_ringbuf_output(&alarms, alarm, sizeof(*alarm), 0);
	return 0;
}
