/* SPDX-License-Identifier: Apache-2.0 */
/* What all three programs agree on: the object, and the map value that can own one. */
#ifndef FOO_H
#define FOO_H

#include <bpfheap.h>

struct foo {
	int var;
};

struct map_val {
	struct foo *ptr __kptr __local;
};

#endif
