SEC tc
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
*(u64 *)(r10 -24) = 0
*(u64 *)(r10 -16) = 0
r1 = map[name:numbers] ll
r2 = func f2
r3 = r10
r3 += -24
r4 = 0
call bpf_for_each_map_elem#164
r6 = *(u8 *)(r10 -16)
}
r0 = 0
f1:
f2:
r6 = r3
r7 = r4
r8 = *(u32 *)(r2 +0)
*(u64 *)(r7 +0) = r6
r0 = 0
