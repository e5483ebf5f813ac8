SEC tc
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r1 = 0
call g1
r0 = r9
*(u8 *)(r0 +39) = 0
}
f1:
f2:
g1:
r0 = 0
