SEC tc
r1 = type bpf_spin_lock
call kfunc bpf_obj_new_impl
r6 = r0
unless r6 == 0x0 {
r1 = r6
call bpf_spin_lock#93
}
