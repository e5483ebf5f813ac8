/* SPDX-License-Identifier: Apache-2.0 */
/* How to pass an object on. */
#ifndef PASS_H
#define PASS_H

#include "../array.h"

static __always_inline int pass_on(void *from, void *to)
{
	__u32 key = 0;
	struct map_val *a = bpf_map_lookup_elem(from, &key);
	struct map_val *b = bpf_map_lookup_elem(to, &key);
	struct foo *p;

	if (!a || !b)
		return TC_ACT_OK;
	p = bpf_kptr_xchg(&a->ptr, NULL);
	if (!p)
		return TC_ACT_OK;
	p = bpf_kptr_xchg(&b->ptr, p);
	if (p)
		unit_free(p);
	return TC_ACT_OK;
}

#endif
