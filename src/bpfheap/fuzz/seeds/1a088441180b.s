SEC tc
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1

r9 = r0

r8 = *(s8 *)(r9 +24)
unless w8 > 0x0 {
}
loop {
r1 = r10
r1 += -40
call kfunc bpf_iter_num_next
leave if r0 == 0x0
} again
