SEC tc
r1 = map[name:ring] ll
r2 = 0
r3 = 0
call bpf_ringbuf_reserve#131
