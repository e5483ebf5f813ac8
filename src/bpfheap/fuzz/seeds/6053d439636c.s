SEC tc
r2 = r10
r2 += -4
r1 = map[name:values] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r2 = 0
r1 = r9
call bpf_kptr_xchg#194
r6 = r0
unless r6 == 0x0 {
unless r0 == 0x0 {
r1 = r0
call kfunc bpf_obj_drop_impl
}
r2 = r6
r1 = r9
call bpf_kptr_xchg#194
}
}
