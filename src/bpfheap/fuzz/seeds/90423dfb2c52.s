SEC tc
*(u64 *)(r10 -24) = 0
*(u64 *)(r10 -16) = 0
r2 = func f1
r1 = 2
r3 = r10
r3 += -24
r4 = 0
call bpf_loop#181

r8 = r0
r2 = func f1
r1 = r8
r3 = r10
r3 += -24
r4 = 0
call bpf_loop#181
f1:
r6 = r1
r7 = r2
r8 = 7
unless r6 == 0x0 {
*(u32 *)(r7 +8) = 7
}
r0 = r8
r0 &= 1
f2:
