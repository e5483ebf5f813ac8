/* SPDX-License-Identifier: Apache-2.0 */
/* Packs the arguments of a new program one behind the other, and hides what follows a password. */
#include "kernel.h"

#define ARGS 16
#define ARG 128
#define SPACE 2048
#define TOKENS 4

struct command {
	__u32 pid;
	__u32 ppid;
	__u32 uid;
	__u32 args;
	__u32 used;
	__u32 hidden;
	char comm[16];
	char text[SPACE + ARG];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct command);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} commands SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, __u32);
} seen SEC(".maps");

const volatile char tokens[TOKENS][12] = {"--password", "--token", "--secret", "-p"};
const volatile __u32 most_args = ARGS;

static const char mask[] = "***";

/* Does an argument begin with one of the words that what is secret comes behind? */
static __noinline int is_token(const char *arg)
{
#pragma clang loop unroll(disable)
	for (int t = 0; t < TOKENS; t++) {
		int same = 1;

#pragma clang loop unroll(disable)
		for (int i = 0; i < 12; i++) {
			char c = tokens[t][i];

			if (!c)
				break;
			if (arg[i] != c) {
				same = 0;
				break;
			}
		}
		if (same)
			return 1;
	}
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_execveat")
int exec_arguments(struct sys_enter_ctx *ctx)
{
	const char *const *argv = (void *)ctx->args[2];
	__u32 key = 0, hash = 0, secret = 0, used;
	struct command *command = bpf_map_lookup_elem(&scratch, &key);
	struct task_struct *task;
	__u32 *times, one = 1;
	long length;

	if (!command)
		return 0;
	command->args = command->used = command->hidden = 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < ARGS; i++) {
		const char *arg = NULL;

		if (i >= most_args)
			break;
		if (bpf_probe_read_user(&arg, sizeof(arg), &argv[i]) || !arg)
			break;
		used = command->used;
		if (used > SPACE)
			break;
		if (secret) {
			bpf_probe_read_kernel_str(command->text + used, sizeof(mask), mask);
			length = sizeof(mask);
			command->hidden++;
			secret = 0;
		} else {
			length = bpf_probe_read_user_str(command->text + used, ARG, arg);
			if (length <= 0)
				break;
			secret = is_token(command->text + used);
		}
		hash = hash * 31 + length;
		command->used = used + length;
		command->args++;
	}

	times = bpf_map_lookup_elem(&seen, &hash);
	if (times && __sync_fetch_and_add(times, 1) > 1000)
		return 0;
	if (!times)
		bpf_map_update_elem(&seen, &hash, &one, BPF_ANY);
	task = (void *)bpf_get_current_task();
	command->pid = kernel_read(task, tgid);
	command->ppid = kernel_read(kernel_read(task, real_parent), tgid);
	command->uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(command->comm, sizeof(command->comm));
	used = command->used;
	if (used > SPACE)
		used = SPACE;
	bpf_perf_event_output(ctx, &commands, BPF_F_CURRENT_CPU, command,
			      offsetof(struct command, text) + used);
	return 0;
}
