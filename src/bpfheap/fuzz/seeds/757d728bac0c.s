SEC tc
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:values] ll
call bpf_map_lookup_elem#1
r9 = r0
r2 = 0
r1 = r9
call bpf_kptr_xchg#194
r6 = r0
unless r6 == 0x0 {
r1 = r6
call kfunc bpf_obj_drop_impl
}
r0 = *(u64 *)(r6 +0)
