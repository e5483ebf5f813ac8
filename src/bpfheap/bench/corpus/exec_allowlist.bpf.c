/* SPDX-License-Identifier: Apache-2.0 */
/* Only programs whose path is on a list may be executed; others are reported, and killed. */
#include "kernel.h"

#define PATH 192
#define ANCESTORS 4
#define SIGKILL 9

enum mode { OBSERVE, ENFORCE };

struct verdict {
	__u32 mode;
	__u32 users[4];
	__u64 hits;
	__u64 last_ns;
};

struct denied_event {
	__u64 hash;
	__u64 cgroup;
	__u32 pid;
	__u32 uid;
	__u32 length;
	__u32 folder;
	char comm[16];
	char parents[ANCESTORS][16];
	char path[PATH];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct verdict);
} allowed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, __u64);
	__type(value, struct verdict);
} allowed_folders SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, __u64);
	__type(value, __u32);
} exempt_cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} denied SEC(".maps");

const volatile __u32 mode = ENFORCE;
const volatile __u64 seed = 0x51ed270b0a1f39c1ULL;

struct hashes {
	__u64 path;
	__u64 folder;
	__u32 length;
	__u32 name;
};

/* One pass: the whole path, and what is before its last slash. */
static __always_inline void hash_path(const char *path, struct hashes *to)
{
	__u64 hash = seed;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < PATH; i++) {
		char c = path[i];

		if (!c)
			break;
		if (c == '/') {
			to->folder = hash;
			to->name = i + 1;
		}
		hash = (hash ^ (__u8)c) * 0x100000001b3ULL;
		hash ^= hash >> 29;
		to->length = i + 1;
	}
	to->path = hash;
}

static __always_inline int may(struct verdict *v, __u32 uid)
{
	if (!v)
		return 0;
	__sync_fetch_and_add(&v->hits, 1);
	v->last_ns = bpf_ktime_get_boot_ns();
	if (!v->users[0])
		return 1;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 4; i++)
		if (v->users[i] == uid)
			return 1;
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_execve")
int exec_allowlist(struct sys_enter_ctx *ctx)
{
	__u64 cgroup = bpf_get_current_cgroup_id();
	__u32 uid = bpf_get_current_uid_gid();
	struct hashes hashes = {};
	struct denied_event *event;
	struct task_struct *task;

	if (bpf_map_lookup_elem(&exempt_cgroups, &cgroup))
		return 0;
	event = bpf_ringbuf_reserve(&denied, sizeof(*event), 0);
	if (!event)
		return 0;
	if (bpf_probe_read_user_str(event->path, PATH, (void *)ctx->args[0]) <= 0)
		goto discard;
	hash_path(event->path, &hashes);
	if (may(bpf_map_lookup_elem(&allowed, &hashes.path), uid))
		goto discard;
	if (may(bpf_map_lookup_elem(&allowed_folders, &hashes.folder), uid))
		goto discard;

	event->hash = hashes.path;
	event->cgroup = cgroup;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->uid = uid;
	event->length = hashes.length;
	event->folder = hashes.name;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	task = (void *)bpf_get_current_task();
#pragma clang loop unroll(disable)
	for (int i = 0; i < ANCESTORS; i++) {
		task = kernel_read(task, real_parent);
		if (!task)
			break;
		bpf_probe_read_kernel_str(event->parents[i], 16, task->comm);
	}
	bpf_ringbuf_submit(event, 0);
	if (mode == ENFORCE)
		bpf_send_signal(SIGKILL);
	return 0;
discard:
	bpf_ringbuf_discard(event, 0);
	return 0;
}
