SEC tc
r8 = *(u32 *)(r1 +0)
r2 = r10
r2 += -4
r1 = map[name:guarded] ll
call bpf_map_lookup_elem#1
r6 = r0
unless r6 == 0x0 {
r1 = r6
call bpf_spin_lock#93
unless r8 == 0x0 {
*(u32 *)(r6 +4) = 0
}
r1 = r6
call bpf_spin_unlock#94
}
r0 = 0
