SEC tc
*(u32 *)(r10 -4) = 2
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0

r8 = *(u64 *)(r9 +32)

*(u64 *)(r10 -16) = 1
*(u64 *)(r10 -24) = 0
unless r8 > 0x3 {
} else {
r7 = *(s32 *)(r10 -16)

*(u8 *)(r10 -23) = r7
}
r8 = 2147483647

r1 = r8
r1 &= 7
r1 += r10
r1 += -24
r6 = *(u8 *)(r1 +0)
unless w6 <= 0x1 {
}
}
