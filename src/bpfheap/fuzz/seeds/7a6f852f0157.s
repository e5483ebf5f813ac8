SEC tc
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r6 = *(u32 *)(r9 +8)
r8 = *(s8 *)(r9 +16)
w8 *= 2
r6 ^= 0
}
