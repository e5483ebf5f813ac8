// Allocates until there is no more.
#include <bpfheap.h>

struct item {
	struct bpf_list_node node;
	char bytes[1000];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct list);
} lists SEC(".maps");

struct list {
	struct bpf_spin_lock lock;
	struct bpf_list_head head __contains(item, node);
};

SEC("syscall")
int fill(void *ctx)
{
	__u32 key = 0;
	struct list *list = bpf_map_lookup_elem(&lists, &key);
	int i;

	if (!list)
		return -1;
	bpf_for(i, 0, 10000) {
		struct item *item = bpf_obj_new(struct item);

		if (!item)
			return i;
		bpf_spin_lock(&list->lock);
		bpf_list_push_back(&list->head, &item->node);
		bpf_spin_unlock(&list->lock);
	}
	return 10000;
}

SEC("syscall")
int drain(void *ctx)
{
	__u32 key = 0;
	struct list *list = bpf_map_lookup_elem(&lists, &key);
	int i;

	if (!list)
		return -1;
	bpf_for(i, 0, 10000) {
		struct bpf_list_node *node;

		bpf_spin_lock(&list->lock);
		node = bpf_list_pop_front(&list->head);
		bpf_spin_unlock(&list->lock);
		if (!node)
			return i;
		bpf_obj_drop(container_of(node, struct item, node));
	}
	return 10000;
}

char LICENSE[] SEC("license") = "GPL";
