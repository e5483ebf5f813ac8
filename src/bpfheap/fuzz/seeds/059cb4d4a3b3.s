SEC tc
r6 = 0
*(u32 *)(r6 +0) = 0
