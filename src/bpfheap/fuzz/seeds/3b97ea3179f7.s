SEC tc
r6 = 0
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
r7 = r0
unless r6 == r7 {
}
