/* Programs of which test_facts.py says what is known. */
#include <bpfheap.h>
struct item { long word; };
struct node { struct bpf_list_node in; long word; };
struct slot { struct item *item __kptr; };
#define ARRAY(name)                                                            \
	struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4);     \
		 __type(key, __u32); __type(value, struct slot); } name SEC(".maps")
ARRAY(one);
ARRAY(two);

SEC("tc") int dead(struct __sk_buff *ctx)
{
	asm volatile("r1 = 3; if r1 > 2 goto 1f; r1 = 4; 1: r0 = 0" ::: "r0", "r1");
	return 0;
}

SEC("tc") int either(struct __sk_buff *ctx)
{
	__u32 key = ctx->len & 3;
	struct slot *found;
	asm volatile("r1 = %[one] ll; if %[key] > 1 goto 1f; r1 = %[two] ll; 1:"
		     "r2 = r10; r2 += -4; *(u32 *)(r10 - 4) = 0; call 1; %[found] = r0"
		     : [found] "=r"(found) : [key] "r"(key), [one] "i"(&one), [two] "i"(&two)
		     : "r0", "r1", "r2", "r3", "r4", "r5");
	return !found;
}

SEC("tc") int objects(struct __sk_buff *ctx)
{
	__u32 key = 1;
	struct slot *slot = bpf_map_lookup_elem(&one, &key);
	struct item *item = bpf_obj_new(typeof(*item)), *seen;
	struct node *node = bpf_obj_new(typeof(*node));
	long word = 0;

	if (item)
		bpf_obj_drop(item);
	if (node)
		bpf_obj_drop(node);
	if (!slot)
		return 0;
	bpf_rcu_read_lock();
	seen = slot->item;
	if (seen)
		word = seen->word;
	bpf_rcu_read_unlock();
	return word;
}

static long again(__u32 i, void *ctx)
{
	return i > 3;
}

SEC("tc") int rounds(struct __sk_buff *ctx)
{
	return bpf_loop(9, again, NULL, 0);
}

SEC("tc") int moves(struct __sk_buff *ctx)
{
	asm volatile("r1 = 8; r2 = 9; r1 += r2; r3 = r10; r3 += -8; r4 = -16; r4 += r10;"
		     "*(u64 *)(r3 + 0) = r1; *(u64 *)(r4 + 0) = r1"
		     ::: "r1", "r2", "r3", "r4");
	return ctx->mark;
}
char LICENSE[] SEC("license") = "GPL";
