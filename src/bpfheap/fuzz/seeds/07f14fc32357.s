SEC tc
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
*(u64 *)(r10 -16) = 0
r2 = func f1
r1 = 5
r3 = r10
r3 += -24
r4 = 0
call bpf_loop#181
r6 = *(u64 *)(r10 -16)
r0 = r9
r0 += r6
}
f1:
r7 = r2
r8 = 0
r1 = *(u64 *)(r7 +8)
r1 += 1
*(u64 *)(r7 +8) = r1
r0 = r8
r0 &= 1
f2:
