SEC tc
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r6 = *(s8 *)(r9 +32)
r7 = *(s32 *)(r9 +24)
r1 = r9
*(u64 *)(r10 -16) = r1
unless r7 >= 0x80 {
}
r1 = *(u64 *)(r10 -16)
r0 = r1
r0 -= r9
r6 = r0
unless r6 < 0x1 {
} else {
unless r6 > 0x0 {
}
}
}
