SEC tc
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
r9 = r0
r6 = *(u8 *)(r9 +8)
r7 = r6
unless r7 >= 0x2 {
r0 += r6
r0 = *(u32 *)(r0 +21)
}
f1:
f2:
g1:
