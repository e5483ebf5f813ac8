SEC tc
r2 = func f1
r1 = 3
r3 = r10
r3 += -24
r4 = 0
call bpf_loop#181

r6 = *(u64 *)(r10 -16)
unless r6 >= 0x10 {
unless r6 > 0xf {
}
}
f1:
r6 = r1
r7 = r2
r8 = 15

r1 += -1
*(u64 *)(r7 +8) = r1

r0 = 1
f2:
