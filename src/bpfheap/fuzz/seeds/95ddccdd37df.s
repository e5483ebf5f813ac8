SEC tc
r1 = 0
call kfunc bpf_obj_new_impl
