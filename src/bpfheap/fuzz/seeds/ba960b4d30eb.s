SEC tc
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r8 = *(s8 *)(r9 +8)
unless r8 & 0x1 {
r8 = 0
}
unless r8 > 0x1 {
}
}
