SEC tc
r1 = type __u32
call kfunc bpf_obj_new_impl
