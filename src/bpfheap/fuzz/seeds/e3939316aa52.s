SEC tc
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
r9 = r0
r6 = *(u64 *)(r9 +16)
r1 = map[name:ring] ll
r2 = 0
r3 = r6
call bpf_ringbuf_output#130
