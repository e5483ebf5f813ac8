SEC tc
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r6 = *(u64 *)(r9 +24)
unless r6 > 0x1 {
r6 = -r6
unless w6 > 0x0 {
w6 &= 0
}
}
}
