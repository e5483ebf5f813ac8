/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What most scenarios share: the object and the map value of the three programs, and maps that
 * have all their elements from the start.
 */
#ifndef ARRAY_H
#define ARRAY_H

#include "three_programs/foo.h"

#define AN_ARRAY(name)                                                                         \
	struct {                                                                              \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                             \
		__uint(max_entries, 1);                                                       \
		__type(key, __u32);                                                           \
		__type(value, struct map_val);                                                \
		KPTRS_FROM_MA                                                                 \
	} name SEC(".maps")

#endif
