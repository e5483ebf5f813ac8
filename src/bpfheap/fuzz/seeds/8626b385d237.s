SEC tc
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r6 = *(s32 *)(r9 +8)
*(u64 *)(r10 -16) = 0
r1 = r10
r1 += -40
r2 = 0
r3 = 3
call kfunc bpf_iter_num_new
loop {
r1 = r10
r1 += -40
call kfunc bpf_iter_num_next
leave if r0 == 0x0
unless r6 > 0x0 {
} else {
r0 = *(u64 *)(r10 +0)
}
} again
r1 = r10
r1 += -40
call kfunc bpf_iter_num_destroy
r6 = *(u64 *)(r10 -16)
unless r6 > 0x0 {
} else {
r0 = *(u8 *)(r9 +40)
}
}
r0 = 0
