SEC tc
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
r9 = r0
call bpf_get_prandom_u32#7
r6 = r0
r7 = *(u8 *)(r9 +32)
*(u64 *)(r10 -16) = r7
r1 = r6
r2 = r7
call f1
f1:
r6 = r1
r7 = r2
unless r6 > r7 {
}
f2:
g1:
