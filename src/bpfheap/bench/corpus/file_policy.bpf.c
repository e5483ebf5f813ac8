/* SPDX-License-Identifier: Apache-2.0 */
/* Who opens what is below a guarded folder: walks the dentries up, and compares with rules. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "corpus.h"

#define PARTS 12
#define NAME 24
#define RULES 4
#define RULE_PARTS 3

#define FMODE_WRITE 2

/* A guarded folder, from the root downwards. */
struct rule {
	char parts[RULE_PARTS][NAME];
	__u32 count;
	__u32 except_uid;
	__u32 writes_only;
	__u32 kill;
};

struct path_parts {
	char names[PARTS][NAME];
	__u32 count;
};

struct access_event {
	__u64 inode;
	__u64 cgroup;
	__u32 pid;
	__u32 uid;
	__u32 rule;
	__u32 mode;
	__u32 count;
	char comm[16];
	char names[PARTS][NAME];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RULES);
	__type(key, __u32);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct path_parts);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} accesses SEC(".maps");

/* What was decided for an inode and a user, so that most opens need no walk. */
struct decided_key {
	__u64 inode;
	__u32 device;
	__u32 uid;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct decided_key);
	__type(value, __u32);
} decided SEC(".maps");

static __always_inline void walk(struct path_parts *path, struct file *file)
{
	struct dentry *at, *parent;
	const unsigned char *name;

	path->count = 0;
	BPF_CORE_READ_INTO(&at, file, f_path.dentry);
#pragma clang loop unroll(disable)
	for (int i = 0; i < PARTS; i++) {
		parent = BPF_CORE_READ(at, d_parent);
		if (at == parent)
			break;
		BPF_CORE_READ_INTO(&name, at, d_name.name);
		if (bpf_probe_read_kernel_str(path->names[i], NAME, name) < 0)
			break;
		path->count = i + 1;
		at = parent;
	}
}

static __noinline int same_part(const char *a, const char *b)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < NAME; i++) {
		if (a[i] != b[i])
			return 0;
		if (!a[i])
			break;
	}
	return 1;
}

/* The first names of the path are the last ones of the walk. */
static __always_inline int is_below(struct rule *rule, struct path_parts *path)
{
	__u32 count = path->count;

	if (!rule->count || rule->count > count)
		return 0;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < RULE_PARTS; i++) {
		__u32 at = count - 1 - i;

		if (i >= rule->count)
			break;
		if (at >= PARTS || !same_part(rule->parts[i], path->names[at]))
			return 0;
	}
	return 1;
}

SEC("kprobe/security_file_open")
int file_policy(struct pt_regs *ctx)
{
	struct file *file = (void *)PT_REGS_PARM1(ctx);
	__u32 key = 0, uid = bpf_get_current_uid_gid(), mode = BPF_CORE_READ(file, f_mode);
	struct decided_key cached = {.uid = uid};
	struct path_parts *path = bpf_map_lookup_elem(&scratch, &key);
	struct access_event *event;
	struct rule *rule;
	__u32 found = RULES, *verdict;

	if (!path)
		return 0;
	cached.inode = BPF_CORE_READ(file, f_inode, i_ino);
	cached.device = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
	verdict = bpf_map_lookup_elem(&decided, &cached);
	if (verdict && *verdict == RULES)
		return 0;

	walk(path, file);
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < RULES; i++) {
		key = i;
		rule = bpf_map_lookup_elem(&rules, &key);
		if (!rule || !rule->count)
			break;
		if (rule->writes_only && !(mode & FMODE_WRITE))
			continue;
		if (rule->except_uid == uid)
			continue;
		if (is_below(rule, path)) {
			found = i;
			break;
		}
	}
	bpf_map_update_elem(&decided, &cached, &found, BPF_ANY);
	if (found == RULES)
		return 0;

	rule = bpf_map_lookup_elem(&rules, &found);
	if (rule && rule->kill)
		bpf_send_signal(9);
	event = bpf_ringbuf_reserve(&accesses, sizeof(*event), 0);
	if (!event)
		return 0;
	event->inode = cached.inode;
	event->cgroup = bpf_get_current_cgroup_id();
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->uid = uid;
	event->rule = found;
	event->mode = mode;
	event->count = path->count;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	__builtin_memcpy(event->names, path->names, sizeof(event->names));
	bpf_ringbuf_submit(event, 0);
	return 0;
}
