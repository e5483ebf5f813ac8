SEC tc
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r6 = 0
r7 = *(u64 *)(r9 +16)
r1 = r10
r1 += -40
r2 = 0
r3 = 1
call kfunc bpf_iter_num_new
loop {
r1 = r10
r1 += -40
call kfunc bpf_iter_num_next
leave if r0 == 0x0
r6 = r7
} again
r1 = r10
r1 += -40
call kfunc bpf_iter_num_destroy
unless r6 <= 0x1 {
} else {
r0 = r10
r0 += r6
}
}
r0 = 0
