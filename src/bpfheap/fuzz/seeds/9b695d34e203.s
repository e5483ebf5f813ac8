SEC tc
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1

r9 = r0

r7 = *(u32 *)(r9 +24)
unless w7 != 0x1 {
unless w7 & 0x0 {
}
}
