SEC tc
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:guarded] ll
call bpf_map_lookup_elem#1
r6 = r0

r7 = r6

r1 = r7
call bpf_spin_unlock#94
