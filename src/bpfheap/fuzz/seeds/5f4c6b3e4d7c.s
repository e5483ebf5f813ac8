SEC tc
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:table] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r1 = map[name:ring] ll
r2 = 0
r3 = 0
call bpf_ringbuf_reserve#131
r6 = r0

*(u64 *)(r6 +32) = 0
}
