/* Keeps an object if three run at once: on two CPUs, one has to interrupt another. */
#include "shared.h"

volatile int running;

SEC("tc") int keep(struct __sk_buff *skb)
{
	__u32 key = 0;
	void *v;

	running++;
	v = bpf_map_lookup_elem(&m, &key);
	if (v && running == 3)
		keep_one();
	running--;
	return 0;
}
