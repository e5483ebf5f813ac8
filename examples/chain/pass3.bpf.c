/* SPDX-License-Identifier: Apache-2.0 */
/* Passes an object on from `m3` to `m4`. */
#include "pass.h"

AN_ARRAY(m3);
AN_ARRAY(m4);

SEC("tc")
int pass3(struct __sk_buff *skb)
{
	return pass_on(&m3, &m4);
}

char _license[] SEC("license") = "GPL";
