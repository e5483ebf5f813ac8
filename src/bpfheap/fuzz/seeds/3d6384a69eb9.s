SEC tc
r2 = r10
r2 += -4
r1 = map[name:table] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = 0
r8 = 1
r1 = map[name:ring] ll
r2 = 0
r3 = 0
call bpf_ringbuf_reserve#131
r6 = r0
unless r6 == 0x0 {
r8 &= 7
r1 = r6
r1 += r8
call bpf_ringbuf_submit#132
}
}
