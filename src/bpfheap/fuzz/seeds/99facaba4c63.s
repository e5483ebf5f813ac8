SEC tc
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r8 = *(u8 *)(r9 +16)
unless r8 > 0x0 {
r6 = *(u8 *)(r9 +8)
} else {
r6 = 0
}
w6 = (s8)w6
unless r8 s> 0x0 {
r7 = r8
}
r6 &= 3
r0 += 3
r0 -= r6
r0 = *(u8 *)(r0 +0)
}
