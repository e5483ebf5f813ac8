SEC tc
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r6 = *(u64 *)(r9 +8)
r8 = *(u8 *)(r9 +32)
*(u64 *)(r10 -16) = r6
r7 = *(u64 *)(r10 -16)
unless r8 == 0x0 {
r7 += -2
}
unless r7 != r8 {
r6 = *(u32 *)(r9 +16)
w7 = w6
w7 += -1
unless r6 s> r8 {
r6 -= r7
r6 %= 32
r0 -= r6
}
}
}
