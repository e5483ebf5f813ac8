SEC tc
call kfunc bpf_iter_num_next
