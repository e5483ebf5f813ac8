SEC tc
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r6 = -1
r1 = r9
loop {
r1 += r6
r6 >>= 1
} while r6 > 0x0
}
