SEC tc
r9 = r1
r7 = *(u32 *)(r9 +80)
w7 &= 0
