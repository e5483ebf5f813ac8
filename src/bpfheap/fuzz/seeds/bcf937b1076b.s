SEC tc
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = 0
r8 = 0
r1 = r10
r1 += -20
r2 = 0
r3 = r8
call kfunc bpf_iter_num_new
r1 = r10
r1 += -40
call kfunc bpf_iter_num_new
}
