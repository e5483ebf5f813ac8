SEC tc
r9 = r1
r8 = *(u32 *)(r9 +0)
r8 |= 0
