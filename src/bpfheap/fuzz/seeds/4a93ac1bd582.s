SEC tc
call kfunc bpf_obj_drop_impl
