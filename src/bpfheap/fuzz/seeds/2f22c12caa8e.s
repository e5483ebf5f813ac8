SEC tc
r8 = *(u32 *)(r10 +15)
