/* SPDX-License-Identifier: Apache-2.0 */
/* What helpers of the kernel are given, and where they are called. */
#include "mistakes.h"

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64);
	__type(value, struct bar);
} sums SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64);
	__type(value, struct counts);
} others SEC(".maps");

char changing[8] = "/tmp";
const char whole[4] SEC(".rodata.whole") = "/tmp";

SEC("tc")
int conversion_unknown(struct __sk_buff *skb)
{
	__u64 length = skb->len;
	char text[16];

	return bpf_snprintf(text, sizeof(text), "%hd bytes", &length, sizeof(length));
}

SEC("tc")
int value_left_out(struct __sk_buff *skb)
{
	__u64 length = skb->len;
	char text[16];

	return bpf_snprintf(text, sizeof(text), "%d of %d", &length, sizeof(length));
}

SEC("tc")
int values_of_four_bytes(struct __sk_buff *skb)
{
	__u32 lengths[3] = {skb->len, 0, 0};
	char text[16];

	return bpf_snprintf(text, sizeof(text), "%d", (__u64 *)lengths, sizeof(lengths));
}

SEC("tc")
int text_that_may_change(struct __sk_buff *skb)
{
	char name[8] = "/tmp";

	return bpf_strncmp(name, sizeof(name), changing);
}

SEC("tc")
int text_without_end(struct __sk_buff *skb)
{
	char name[8] = "/tmp";

	return bpf_strncmp(name, sizeof(name), whole);
}

SEC("tc")
int text_on_the_stack(struct __sk_buff *skb)
{
	char name[8] = "/tmp";

	return bpf_strncmp(name, sizeof(name), name);
}

SEC("tc")
int number_not_aligned(struct __sk_buff *skb)
{
	char name[24] = "12";
	long *number = (long *)(name + 12);

	return bpf_strtol(name, 8, 0, number);
}

SEC("syscall")
int no_socket(void *ctx)
{
	return bpf_get_socket_cookie(ctx);
}

SEC("sk_msg")
int sockets_taken_elsewhere(struct sk_msg_md *msg)
{
	__u32 key = 0;

	return bpf_map_delete_elem(&sockets, &key);
}

SEC("cgroup/dev")
int flags_of_a_storage(struct bpf_cgroup_dev_ctx *ctx)
{
	struct bar *bar = bpf_get_local_storage(&sums, 1);

	return bar->sum & 1;
}

SEC("cgroup/dev")
int two_storages(struct bpf_cgroup_dev_ctx *ctx)
{
	struct bar *bar = bpf_get_local_storage(&sums, 0);
	struct counts *counts = bpf_get_local_storage(&others, 0);

	bar->sum += counts->used;
	return 0;
}
