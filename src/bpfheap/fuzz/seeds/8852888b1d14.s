SEC tc
*(u32 *)(r10 -4) = 1
r2 = r10
r2 += -4
r1 = map[name:table] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r8 = *(u64 *)(r9 +24)
r1 = type fuzz_node
r2 = 0
call kfunc bpf_obj_new_impl
r6 = r0
*(u64 *)(r10 -16) = r6
unless r6 == 0x0 {
*(u64 *)(r6 +16) = 0
r7 = *(u64 *)(r10 -16)
r2 = r7
r1 = r9
call bpf_kptr_xchg#194
r6 = r0
unless r6 == 0x1 {
r1 = r6
call kfunc bpf_obj_drop_impl
}
}
}
