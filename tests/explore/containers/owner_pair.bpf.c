#include <bpfheap.h>

/* Two objects that own each other. */

struct self {
	struct bpf_refcount ref;
	struct self __kptr *me;
};

SEC("tc") int each_other(struct __sk_buff *ctx)
{
	struct self *a = bpf_obj_new(struct self), *b, *c, *old;

	if (!a)
		return 0;
	b = bpf_obj_new(struct self);
	if (!b) {
		bpf_obj_drop(a);
		return 0;
	}
	c = bpf_refcount_acquire(a);
	old = bpf_kptr_xchg(&b->me, c);
	if (old)
		bpf_obj_drop(old);
	old = bpf_kptr_xchg(&a->me, b);
	if (old)
		bpf_obj_drop(old);
	bpf_obj_drop(a);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
