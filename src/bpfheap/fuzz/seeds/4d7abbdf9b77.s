SEC tc
*(u8 *)(r2 -1) = 0
r6 s>>= 65
