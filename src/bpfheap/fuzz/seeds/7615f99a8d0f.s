SEC tc
call bpf_get_prandom_u32#7
r6 = r0

r1 = r10
r1 += -24
r2 = (s16)r6
*(u16 *)(r1 +8) = r2
