SEC tc
r6 = 0
w6 %= 1
r1 = r10
r1 += -24
r2 = r6
*(u32 *)(r1 +8) = r2
