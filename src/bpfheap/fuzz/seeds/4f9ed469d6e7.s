SEC tc
r6 = 0

r1 = r10
r1 += -40
r2 = 0
r3 = 0
call kfunc bpf_iter_num_new
loop {
r1 = r10
r1 += -40
call kfunc bpf_iter_num_next
leave if r0 == 0x0
w6 += 1
} again
r1 = r10
r1 += -40
call kfunc bpf_iter_num_destroy

r0 = 0
