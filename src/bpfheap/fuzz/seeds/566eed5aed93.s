SEC tc
r8 = *(u32 *)(r1 +0)
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
r6 = r0
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
r7 = r0
unless r8 > 0x0 {
} else {
r6 = r7
}
*(u64 *)(r10 -16) = r6
