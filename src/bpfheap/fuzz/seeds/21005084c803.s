SEC tc
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r6 = *(u32 *)(r9 +32)
r8 = *(u64 *)(r9 +32)
unless r8 > 0x0 {
w6 &= 1
}
r1 = r9
r7 = r6
r7 *= 0
r1 += r7
}
