/* SPDX-License-Identifier: Apache-2.0 */
/* Watches what a task becomes: new capabilities, another user, a namespace not its own. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "corpus.h"

#define CAPABILITIES 41
#define ANCESTORS 8
#define WATCHED 6
#define LEVELS 6

/* Some capabilities, as bits. */
#define CAN_CHOWN (1ULL << 0)
#define CAN_DAC_OVERRIDE (1ULL << 1)
#define CAN_DAC_READ_SEARCH (1ULL << 2)
#define CAN_FOWNER (1ULL << 3)
#define CAN_KILL (1ULL << 5)
#define CAN_SETGID (1ULL << 6)
#define CAN_SETUID (1ULL << 7)
#define CAN_NET_ADMIN (1ULL << 12)
#define CAN_NET_RAW (1ULL << 13)
#define CAN_SYS_MODULE (1ULL << 16)
#define CAN_SYS_RAWIO (1ULL << 17)
#define CAN_SYS_CHROOT (1ULL << 18)
#define CAN_SYS_PTRACE (1ULL << 19)
#define CAN_SYS_ADMIN (1ULL << 21)
#define CAN_SYS_BOOT (1ULL << 22)
#define CAN_SYS_TIME (1ULL << 25)
#define CAN_MKNOD (1ULL << 27)
#define CAN_AUDIT_CONTROL (1ULL << 30)
#define CAN_SETFCAP (1ULL << 31)
#define CAN_MAC_OVERRIDE (1ULL << 32)
#define CAN_MAC_ADMIN (1ULL << 33)
#define CAN_BPF (1ULL << 39)

enum change {
	CHANGED_UID = 1,
	CHANGED_GID = 2,
	GAINED_CAPABILITIES = 4,
	BECAME_ROOT = 8,
	LEFT_USER_NS = 16,
	IS_TRACED = 32,
};

struct change_event {
	__u64 ts_ns;
	__u64 gained;
	__u64 lost;
	__u32 changes;
	__u32 severity;
	__u32 pid;
	__u32 tracer;
	__u32 old_uid;
	__u32 new_uid;
	__u32 lineage[ANCESTORS];
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CAPABILITIES + 1);
	__type(key, __u32);
	__type(value, __u64);
} gains SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} changes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} last_change SEC(".maps");

/* Capabilities by how bad it is to gain them, the worst ones first. */
const volatile __u64 worse[LEVELS] = {
	CAN_SYS_ADMIN | CAN_SYS_MODULE | CAN_SYS_PTRACE,
	CAN_BPF | CAN_SYS_RAWIO | CAN_MAC_ADMIN | CAN_MAC_OVERRIDE,
	CAN_SETUID | CAN_SETGID | CAN_SETFCAP | CAN_DAC_OVERRIDE,
	CAN_NET_ADMIN | CAN_NET_RAW | CAN_DAC_READ_SEARCH,
	CAN_CHOWN | CAN_FOWNER | CAN_SYS_CHROOT | CAN_MKNOD,
	CAN_KILL | CAN_SYS_BOOT | CAN_SYS_TIME | CAN_AUDIT_CONTROL,
};

/* Names of programs that are there to change who they are. */
const volatile char trusted[WATCHED][16] = {"sudo", "su", "login", "sshd", "cron", "polkitd"};
const volatile __u32 least_severity = 4;

static __always_inline __u64 capabilities_of(struct cred *cred)
{
	__u64 found = 0;

	bpf_core_read(&found, sizeof(found), &cred->cap_effective);
	return found;
}

static __always_inline int is_trusted(const char *comm)
{
#pragma clang loop unroll(disable)
	for (int t = 0; t < WATCHED; t++) {
		int same = 1;

#pragma clang loop unroll(disable)
		for (int i = 0; i < 16; i++) {
			if (trusted[t][i] != comm[i]) {
				same = 0;
				break;
			}
			if (!comm[i])
				break;
		}
		if (same)
			return 1;
	}
	return 0;
}

static __always_inline void count(__u64 gained)
{
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < CAPABILITIES; i++) {
		__u32 key = i;
		__u64 *counter;

		if (!(gained >> i & 1))
			continue;
		counter = bpf_map_lookup_elem(&gains, &key);
		if (counter)
			*counter += 1;
	}
}

static __always_inline __u32 severity_of(__u64 gained)
{
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < LEVELS; i++)
		if (gained & worse[i])
			return 2 + 2 * (LEVELS - i);
	return gained ? 2 : 0;
}

/* What differs between the credentials at two addresses; verified once, apart from its caller. */
__noinline int changes_between(__u64 before, __u64 after)
{
	struct cred *old = (void *)before, *new = (void *)after;
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 old_uid = BPF_CORE_READ(old, euid.val), new_uid = BPF_CORE_READ(new, euid.val);
	int what = 0;

	if (old_uid != new_uid)
		what |= CHANGED_UID;
	if (BPF_CORE_READ(old, egid.val) != BPF_CORE_READ(new, egid.val))
		what |= CHANGED_GID;
	if (old_uid && !new_uid)
		what |= BECAME_ROOT;
	if (capabilities_of(new) & ~capabilities_of(old))
		what |= GAINED_CAPABILITIES;
	if (BPF_CORE_READ(old, user_ns) != BPF_CORE_READ(new, user_ns))
		what |= LEFT_USER_NS;
	if (BPF_CORE_READ(task, ptrace))
		what |= IS_TRACED;
	return what;
}

SEC("kprobe/commit_creds")
int privilege_watch(struct pt_regs *ctx)
{
	struct cred *new = (void *)PT_REGS_PARM1(ctx);
	struct task_struct *task = (void *)bpf_get_current_task(), *parent;
	struct cred *old;
	__u64 before, after = capabilities_of(new), now = bpf_ktime_get_boot_ns(), *last;
	__u32 pid = bpf_get_current_pid_tgid() >> 32, what, severity;
	__u32 old_uid, new_uid = BPF_CORE_READ(new, euid.val);
	struct change_event *event;
	char comm[16] = {};

	bpf_core_read(&old, sizeof(old), &task->cred);
	before = capabilities_of(old);
	old_uid = BPF_CORE_READ(old, euid.val);
	what = changes_between((__u64)old, (__u64)new);
	if (!(what & ~IS_TRACED))
		return 0;

	bpf_get_current_comm(comm, sizeof(comm));
	if (is_trusted(comm) && !(what & IS_TRACED))
		return 0;
	count(after & ~before);
	severity = severity_of(after & ~before);
	if (what & (BECAME_ROOT | LEFT_USER_NS))
		severity += 4;
	if (severity < least_severity)
		return 0;
	last = bpf_map_lookup_elem(&last_change, &pid);
	if (last && now - *last < 1000000)
		return 0;
	bpf_map_update_elem(&last_change, &pid, &now, BPF_ANY);

	event = bpf_ringbuf_reserve(&changes, sizeof(*event), 0);
	if (!event)
		return 0;
	event->ts_ns = now;
	event->gained = after & ~before;
	event->lost = before & ~after;
	event->changes = what;
	event->severity = severity;
	event->pid = pid;
	event->tracer = what & IS_TRACED ? BPF_CORE_READ(task, parent, tgid) : 0;
	event->old_uid = old_uid;
	event->new_uid = new_uid;
	__builtin_memcpy(event->comm, comm, sizeof(comm));
#pragma clang loop unroll(disable)
	for (int i = 0; i < ANCESTORS; i++) {
		parent = BPF_CORE_READ(task, real_parent);
		event->lineage[i] = BPF_CORE_READ(parent, tgid);
		if (parent == task)
			break;
		task = parent;
	}
	bpf_ringbuf_submit(event, 0);
	return 0;
}
