SEC tc
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r8 = *(u64 *)(r9 +8)
r1 = r8
r1 &= 1
r1 += r10
r6 = *(u8 *)(r1 +0)
}
