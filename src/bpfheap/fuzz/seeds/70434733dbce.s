SEC tc
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
r9 = r0
r6 = 0
r8 = *(u64 *)(r9 +8)
unless r8 > 0x0 {
} else {
r6 = 0
}
r1 = map[name:ring] ll
r2 = r9
r3 = r6
r4 = 0
call bpf_ringbuf_output#130
