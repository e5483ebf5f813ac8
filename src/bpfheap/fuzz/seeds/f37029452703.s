SEC tc
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r8 = *(u32 *)(r9 +32)
r6 = 0
r1 = r10
r1 += -40
r2 = 0
r3 = 0
call kfunc bpf_iter_num_new
unless w8 > 0x0 {
*(u16 *)(r10 -14) = r6
}
r1 = r10
r1 += -40
call kfunc bpf_iter_num_destroy
}
r0 = 0
