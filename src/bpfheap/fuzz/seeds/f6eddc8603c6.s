SEC tc
r1 = map[name:ring] ll
r2 = 0
r3 = 0
call bpf_ringbuf_reserve#131
r6 = r0
r1 = r6
call bpf_ringbuf_submit#132
