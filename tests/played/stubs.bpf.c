#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

SEC("xdp")
int route(struct xdp_md *ctx)
{
	struct bpf_fib_lookup params = {.family = 2, .ifindex = ctx->ingress_ifindex};
	long found = bpf_fib_lookup(ctx, &params, sizeof(params), 0);

	return found ? found : params.ifindex;
}

SEC("lsm/file_open")
int BPF_PROG(path_of, struct file *file)
{
	char text[16];
	int n = bpf_path_d_path(&file->f_path, text, sizeof(text));

	if (n < 0)
		return -1;
	bpf_printk("%s", text);
	return 0;
}

SEC("xdp")
int counting(struct xdp_md *ctx)
{
	__u32 key = 2;
	__u64 *count = bpf_map_lookup_elem(&counts, &key);

	return count ? *count : -1;
}
