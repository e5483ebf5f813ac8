SEC tc
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r7 = *(u32 *)(r9 +24)
w6 = w7
w6 %= 1
r0 = r6
unless r0 > r7 {
}
r0 = r10
r0 += r6
*(u8 *)(r0 -4) = 0
}
