SEC tc
r2 = r10
r2 += -4
r1 = map[name:values] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r1 = map[name:ring] ll
r2 = 40
r3 = 0
call bpf_ringbuf_reserve#131
r6 = r0
unless r6 == 0x0 {
*(u64 *)(r6 +32) = 1
r1 = r6
r2 = 0
call bpf_ringbuf_submit#132
}
r2 = 0
r1 = r9
call bpf_kptr_xchg#194
r6 = r0
r7 = r6
unless r6 == 0x0 {
r0 = *(u64 *)(r7 +0)
r2 = r7
r1 = r9
call bpf_kptr_xchg#194
r6 = r0
unless r6 == 0x0 {
r1 = r6
call kfunc bpf_obj_drop_impl
}
}
}
