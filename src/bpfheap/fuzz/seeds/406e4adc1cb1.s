SEC tc
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
r9 = r0
r6 = *(u8 *)(r9 +8)
r8 = *(u64 *)(r9 +24)
r1 = r9
r1 += r6
unless w8 > 0x0 {
}
r1 -= r6
r0 = *(u8 *)(r1 +0)
