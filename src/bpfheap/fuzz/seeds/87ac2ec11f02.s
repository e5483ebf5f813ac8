SEC tc
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
r6 = r0
r1 = map[name:counts] ll
r7 = r0
unless r6 == r7 {
}
r6 += 0
