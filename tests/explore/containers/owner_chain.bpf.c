#include <bpfheap.h>

/* An object that owns another one. */

struct self {
	struct bpf_refcount ref;
	struct self __kptr *me;
};

SEC("tc") int chain(struct __sk_buff *ctx)
{
	struct self *a = bpf_obj_new(struct self), *b, *old;

	if (!a)
		return 0;
	b = bpf_obj_new(struct self);
	if (!b) {
		bpf_obj_drop(a);
		return 0;
	}
	old = bpf_kptr_xchg(&a->me, b);
	if (old)
		bpf_obj_drop(old);
	bpf_obj_drop(a);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
