SEC tc
*(u32 *)(r10 -4) = 1
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0

r6 = *(u32 *)(r9 +24)

r7 = *(s32 *)(r9 +8)

r8 = *(s32 *)(r9 +16)

*(u64 *)(r10 -16) = r9
*(u64 *)(r10 -24) = 0

r1 = r10
r1 += -40
r2 = 0
r3 = r8
call kfunc bpf_iter_num_new
loop {
r1 = r10
r1 += -40
call kfunc bpf_iter_num_next
leave if r0 == 0x0
r1 = *(u64 *)(r10 -16)
r1 += 1
*(u64 *)(r10 -16) = r1
} again
r1 = r10
r1 += -40
call kfunc bpf_iter_num_destroy

r1 = r10
r1 += -40
r2 = 1
r3 = 3
call kfunc bpf_iter_num_new
loop {
r1 = r10
r1 += -40
call kfunc bpf_iter_num_next
leave if r0 == 0x0
r1 = *(u32 *)(r0 +0)
unless r1 > 0x0 {
r6 = r1
}
} again
r1 = r10
r1 += -40
call kfunc bpf_iter_num_destroy
unless r6 s> 0x0 {
}
}
r0 = 0
