SEC tc
r2 = r10
r2 += -4
r1 = map[name:guarded] ll
call bpf_map_lookup_elem#1
r6 = r0
unless r6 == 0x0 {
r2 = r10
r2 += -4
r1 = map[name:guarded] ll
call bpf_map_lookup_elem#1
r7 = r0
unless r6 == r7 {
}
}
