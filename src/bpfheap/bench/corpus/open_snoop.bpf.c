/* SPDX-License-Identifier: Apache-2.0 */
/* Tells which files are opened: the path, a hash of each folder on the way, and who opened it. */
#include "kernel.h"

#define PATH 128
#define FOLDERS 8

#define O_WRONLY 01
#define O_RDWR 02
#define O_CREAT 0100
#define O_TRUNC 01000

struct open_event {
	__u64 ts_ns;
	__u32 pid;
	__u32 uid;
	__u32 ppid;
	int dfd;
	__u32 flags;
	__u16 folders;
	__u16 length;
	__u32 hashes[FOLDERS];
	char comm[16];
	char path[PATH];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct open_event);
} scratch SEC(".maps");

/* Hashes of folders below which nobody wants to know. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u8);
} quiet SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} opens_by_process SEC(".maps");

const volatile __u32 only_uid = -1;
const volatile __u32 writes_only = 0;

/* The hash of a folder is that of the path up to the slash behind it. */
static __always_inline int hash_folders(struct open_event *event)
{
	__u32 hash = 2166136261u;

	/* Counted in memory: so a verifier need not tell apart paths by how many there were. */
	event->folders = 0;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < PATH; i++) {
		char c = event->path[i];
		__u32 folders;

		if (!c)
			break;
		if (c == '/' && i) {
			if (bpf_map_lookup_elem(&quiet, &hash))
				return -1;
			folders = event->folders;
			if (folders >= FOLDERS)
				break;
			event->hashes[folders] = hash;
			event->folders = folders + 1;
		}
		hash = (hash ^ (__u8)c) * 16777619u;
	}
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_openat")
int open_snoop(struct sys_enter_ctx *ctx)
{
	__u32 key = 0, uid = bpf_get_current_uid_gid(), pid = bpf_get_current_pid_tgid() >> 32;
	struct open_event *event = bpf_map_lookup_elem(&scratch, &key);
	__u32 flags = ctx->args[2];
	struct task_struct *task;
	__u64 *opens, one = 1;
	long length;

	if (!event)
		return 0;
	if (only_uid != (__u32)-1 && uid != only_uid)
		return 0;
	if (writes_only && !(flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)))
		return 0;
	length = bpf_probe_read_user_str(event->path, sizeof(event->path), (void *)ctx->args[1]);
	if (length <= 1)
		return 0;
	if (hash_folders(event) < 0)
		return 0;

	opens = bpf_map_lookup_elem(&opens_by_process, &pid);
	if (opens)
		__sync_fetch_and_add(opens, 1);
	else
		bpf_map_update_elem(&opens_by_process, &pid, &one, BPF_NOEXIST);

	task = (void *)bpf_get_current_task();
	event->ts_ns = bpf_ktime_get_boot_ns();
	event->pid = pid;
	event->uid = uid;
	event->ppid = kernel_read(kernel_read(task, real_parent), tgid);
	event->dfd = ctx->args[0];
	event->flags = flags;
	event->length = length;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	if (length > PATH)
		length = PATH;
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, event,
			      offsetof(struct open_event, path) + length);
	return 0;
}
