SEC tc
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
w6 = 0
*(u16 *)(r10 -10) = r6
r6 = *(s8 *)(r10 -13)
r6 <<= 0
r6 s>>= 1
r0 += r6
}
