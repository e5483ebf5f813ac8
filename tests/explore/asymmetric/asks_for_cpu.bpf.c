/* Keeps an object on the second CPU only. */
#include "shared.h"

SEC("tc") int keep(struct __sk_buff *skb)
{
	return bpf_get_smp_processor_id() == 1 ? keep_one() : 0;
}
