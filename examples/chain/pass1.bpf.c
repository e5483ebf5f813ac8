/* SPDX-License-Identifier: Apache-2.0 */
/* Passes an object on from `m1` to `m2`. */
#include "pass.h"

AN_ARRAY(m1);
AN_ARRAY(m2);

SEC("tc")
int pass1(struct __sk_buff *skb)
{
	return pass_on(&m1, &m2);
}

char _license[] SEC("license") = "GPL";
