/* SPDX-License-Identifier: Apache-2.0 */
/* Passes an object on from `m2` to `m3`. */
#include "pass.h"

AN_ARRAY(m2);
AN_ARRAY(m3);

SEC("tc")
int pass2(struct __sk_buff *skb)
{
	return pass_on(&m2, &m3);
}

char _license[] SEC("license") = "GPL";
