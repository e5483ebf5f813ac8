SEC tc
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r7 = *(u32 *)(r9 +8)
r6 = r7
w6 |= 0
r6 <<= 32
r6 s>>= 32
r6 -= r7
unless r6 s> 0x1f {
unless r6 s< 0x0 {
r0 = r10
r0 += r6
*(u8 *)(r0 -32) = 1
}
}
}
