/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes of files that took long, with the file's path as far as its mount. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "corpus.h"

#define PARTS 16
#define NAME 32
#define SLOTS 27
#define S_IFMT 0170000
#define S_IFREG 0100000

struct begun {
	__u64 ts_ns;
	__u64 position;
	struct file *file;
	__u32 size;
	__u32 writes;
};

struct slow_event {
	__u64 took_ns;
	__u64 position;
	__u64 inode;
	__u32 size;
	__u32 pid;
	__u32 device;
	__u16 parts;
	__u8 writes;
	__u8 system;
	char comm[16];
	char path[PARTS][NAME];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct begun);
} begun SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slow_event);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} latency SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} events SEC(".maps");

const volatile __u64 slow_ns = 10000000;
const volatile __u32 only_pid = 0;
/* Magic numbers of the file systems that count. */
const volatile __u32 systems[6] = {0xef53, 0x58465342, 0x9123683e, 0x6969, 0x794c7630, 0x01021994};

static __always_inline int system_of(struct inode *inode)
{
	__u64 magic = BPF_CORE_READ(inode, i_sb, s_magic);

#pragma clang loop unroll(disable)
	for (int i = 0; i < 6; i++)
		if (systems[i] == magic)
			return i;
	return -1;
}

/* From the file upwards, a name for each folder. */
static __always_inline int path_of(struct slow_event *event, struct file *file)
{
	struct dentry *root, *at;
	const unsigned char *name;
	struct vfsmount *mount;
	int parts = 0;

	BPF_CORE_READ_INTO(&mount, file, f_path.mnt);
	root = BPF_CORE_READ(mount, mnt_root);
	BPF_CORE_READ_INTO(&at, file, f_path.dentry);

#pragma clang loop unroll(disable)
	for (int i = 0; i < PARTS; i++) {
		struct dentry *parent = BPF_CORE_READ(at, d_parent);

		BPF_CORE_READ_INTO(&name, at, d_name.name);
		if (at == root || at == parent)
			break;
		if (bpf_probe_read_kernel_str(event->path[i], NAME, name) < 0)
			break;
		parts++;
		at = parent;
	}
	return parts;
}

static __always_inline void count(__u64 ns, __u32 writes)
{
	__u32 slot = 0;
	__u64 *counter;

	ns /= 1000;
#pragma clang loop unroll(disable)
	for (int i = 0; i < SLOTS - 1; i++) {
		if (ns >> i <= 1)
			break;
		slot++;
	}
	slot += writes ? SLOTS : 0;
	counter = bpf_map_lookup_elem(&latency, &slot);
	if (counter)
		*counter += 1;
}

SEC("kretprobe/vfs_read")
int fs_slower(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns(), took;
	struct begun *b = bpf_map_lookup_elem(&begun, &id);
	struct slow_event *event;
	struct inode *inode;
	long size = PT_REGS_RC(ctx);
	__u32 key = 0;
	int system;

	if (!b || (only_pid && id >> 32 != only_pid))
		return 0;
	took = now - b->ts_ns;
	inode = BPF_CORE_READ(b->file, f_inode);
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFREG)
		return 0;
	system = system_of(inode);
	if (system < 0)
		return 0;
	count(took, b->writes);
	if (took < slow_ns || size < 0)
		return 0;

	event = bpf_map_lookup_elem(&scratch, &key);
	if (!event)
		return 0;
	event->took_ns = took;
	event->position = b->position;
	event->size = size;
	event->writes = b->writes;
	event->system = system;
	event->pid = id >> 32;
	event->inode = BPF_CORE_READ(inode, i_ino);
	event->device = BPF_CORE_READ(inode, i_sb, s_dev);
	event->parts = path_of(event, b->file);
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	bpf_map_delete_elem(&begun, &id);
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, event, sizeof(*event));
	return 0;
}
