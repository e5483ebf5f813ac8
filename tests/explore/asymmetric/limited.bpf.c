/* Keeps an object if the only one there may be is given back between two allocations. */
#include "shared.h"

SEC("tc") int hold(struct __sk_buff *skb)
{
	struct foo *p = bpf_mem_alloc(&ma, type_id_local(struct foo));

	if (p)
		unit_free(p);
	return 0;
}

SEC("tc") int keep(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct foo *first = bpf_mem_alloc(&ma, type_id_local(struct foo)), *p;
	struct map_val *v;

	if (first) {
		unit_free(first);
		return 0;
	}
	p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	/* Stops here, too, whatever came of it. */
	v = bpf_map_lookup_elem(&m, &key);
	if (!p)
		return 0;
	if (v)
		p = bpf_kptr_xchg(&v->ptr, p);
	if (p)
		unit_free(p);
	return 0;
}
