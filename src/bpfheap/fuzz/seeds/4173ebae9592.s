SEC tc
r1 = r10
r1 += -40
r2 = 0
r3 = 0
call kfunc bpf_iter_num_new
