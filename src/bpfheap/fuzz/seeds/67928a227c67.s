SEC tc
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r8 = *(u64 *)(r9 +8)
unless r8 s> 0x5 {
}
unless w8 s< 0x0 {
}
r1 = r8
r1 &= 7
r1 += r10
r1 += -24
r6 = *(u8 *)(r1 +0)
r6 <<= 1
r0 += r6
r0 = *(u64 *)(r0 +29)
}
