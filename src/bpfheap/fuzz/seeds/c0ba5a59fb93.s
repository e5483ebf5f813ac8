SEC tc
r1 = type bpf_spin_lock
call kfunc bpf_obj_new_impl
unless r0 == 0x0 {
r1 = r0
call kfunc bpf_obj_drop_impl
}
call bpf_kptr_xchg#194
